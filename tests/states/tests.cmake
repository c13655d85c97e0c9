# Is the rendering of the state machine's tables (tests/states.md) what the tables say?
add_test(NAME states_rendered COMMAND ${PROJECT_SOURCE_DIR}/scripts/render-states --check)
set_tests_properties(states_rendered PROPERTIES LABELS unit ENVIRONMENT CC=${CMAKE_C_COMPILER})
