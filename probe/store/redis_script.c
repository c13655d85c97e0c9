/*
 * What the server runs for the writer: scripts, loaded anew on each connection (a server that was
 * started again has forgotten them).
 *
 * The script that appends names its predecessor: it compares the stream's last ID with the one
 * that the writer expects, and appends nothing when they differ. All of a batch or nothing: the
 * server looks at its memory's limit before the first write of a script only. Which fields a kind
 * has stands in the script, so that they need not be sent.
 */
#include "redis_writer.h"

#include <stdio.h>
#include <string.h>

static const char last_id[] = "local i=redis.pcall('XINFO','STREAM',KEYS[1]) "
                              "local last='0-0' "
                              "if i.err then "
                              "if not string.find(i.err,'no such key') then return i end "
                              "else for j=1,#i,2 do if i[j]=='last-generated-id' then "
                              "last=i[j+1] break end end end ";

/* Last ID, length, last entry. */
static const char ask[] = "local t=redis.call('TYPE',KEYS[1]).ok "
                          "if t=='none' then return {'0-0',0,{}} end "
                          "local i=redis.call('XINFO','STREAM',KEYS[1]) local last,n='0-0',0 "
                          "for j=1,#i,2 do if i[j]=='last-generated-id' then last=i[j+1] "
                          "elseif i[j]=='length' then n=i[j+1] end end "
                          "return {last,n,redis.call('XREVRANGE',KEYS[1],'+','-','COUNT',1)}";

static const char lock[] =
    "local h=redis.call('GET',KEYS[1]) "
    "if not h then redis.call('SET',KEYS[1],ARGV[1],'PX',ARGV[2]) return 1 end "
    "if h~=ARGV[1] then return 0 end "
    "redis.call('PEXPIRE',KEYS[1],ARGV[2]) return 1";

static const char unlock[] =
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0";

/* Take out entries that are not ours and bar the stream's way; ARGV[1] becomes its last ID again.
 */
static const char mend[] = "for j=2,#ARGV do redis.call('XDEL',KEYS[1],ARGV[j]) end "
                           "if ARGV[1]=='0-0' then "
                           "if redis.call('XLEN',KEYS[1])==0 then redis.call('DEL',KEYS[1]) end "
                           "return 1 end "
                           "redis.call('XSETID',KEYS[1],ARGV[1]) return 1";

/* An alarm is in the stream, in the hash of those in force and on the channels at once. ARGV[2]:
 * is it to be published; ARGV[3]: the channel. */
static const char alarm_tail[] = "local ok,r=pcall(cjson.decode,a[j+6]) "
                                 "if ok and type(r)=='table' and r.id then "
                                 "if a[j+4]=='cleared' then redis.call('HDEL',KEYS[2],r.id) "
                                 "else redis.call('HSET',KEYS[2],r.id,a[j+6]) end end "
                                 "if a[2]=='1' then redis.call('PUBLISH',a[3],a[j+6]) "
                                 "redis.call('PUBLISH',a[3]..':'..a[j+2],a[j+6]) end ";

static size_t append_text(enum store_kind kind, char *out, size_t size) {
    unsigned fields = store_kind_fields(kind);
    const char *const *name = store_kind_field_names(kind);
    bool alarms = kind == STORE_KIND_ALARMS;
    FILE *f = fmemopen(out, size, "w");
    if (f == NULL)
        return 0;
    fprintf(f,
            "local a=ARGV %sif last~=a[1] then return last end local k=KEYS[1] "
            "local call=redis.call for j=%d,#a,%u do call('XADD',k,a[j]",
            last_id, alarms ? 4 : 2, fields + 1);
    for (unsigned i = 0; i < fields; i++)
        fprintf(f, ",'%s',a[j+%u]", name[i], i + 1);
    fprintf(f, ") %send return 1", alarms ? alarm_tail : "");
    long n = ftell(f);
    fclose(f);
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

size_t store_script_text(enum store_script which, char *out, size_t size) {
    static const char *const text[STORE_SCRIPTS] = {[STORE_SCRIPT_ASK] = ask,
                                                    [STORE_SCRIPT_LOCK] = lock,
                                                    [STORE_SCRIPT_UNLOCK] = unlock,
                                                    [STORE_SCRIPT_MEND] = mend};
    if (which < STORE_SCRIPT_ASK)
        return append_text((enum store_kind)which, out, size);
    return (size_t)snprintf(out, size, "%s", text[which]);
}

static void on_loaded(redisAsyncContext *redis, void *reply, void *context) {
    struct store_redis *s = ((struct store_link *)redis->data)->context;
    const redisReply *r = reply;
    char *sha = context;
    store_link_answered(&s->link, reply);
    if (r == NULL)
        return;
    if (r->type != REDIS_REPLY_STRING || r->len != STORE_SHA_TEXT - 1) {
        store_link_drop(&s->link, 1000, r->type == REDIS_REPLY_ERROR ? r->str : "no script");
        return;
    }
    memcpy(sha, r->str, STORE_SHA_TEXT);
    if (++s->scripts_loaded == STORE_SCRIPTS)
        store_keeper_up(s);
}

void store_scripts_load(struct store_redis *s) {
    char text[4096];
    s->scripts_loaded = 0;
    for (unsigned i = 0; i < STORE_SCRIPTS; i++) {
        size_t n = store_script_text((enum store_script)i, text, sizeof text);
        const char *const word[] = {"SCRIPT", "LOAD", text};
        const size_t length[] = {6, 4, n};
        size_t octets;
        const char *command = store_command(s, word, length, 3, &octets);
        if (command == NULL || !store_link_send(&s->link, command, octets, on_loaded, s->sha[i]))
            store_link_drop(&s->link, 1000, "out of memory");
    }
}
