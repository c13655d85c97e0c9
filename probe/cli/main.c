/*
 * The program's entry. All of it is in the library of this room, so that tests can link it.
 */
#include "cli.h"

int main(int argc, char **argv) {
    return cli_main(argc, argv);
}
