# Captures through the real binary. One test a case: a folder with a `cmd`; see tests/golden/run.py.
if(Python3_FOUND)
  file(GLOB golden_cases CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/golden/*/cmd)
  foreach(command ${golden_cases})
    get_filename_component(folder ${command} DIRECTORY)
    get_filename_component(case ${folder} NAME)
    add_test(NAME golden_${case}
             COMMAND ${Python3_EXECUTABLE} golden/run.py --binary $<TARGET_FILE:spanwatch> ${case}
             WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
    set_tests_properties(golden_${case} PROPERTIES LABELS golden)
  endforeach()
  foreach(script test_states test_records test_readme test_captures test_encapsulations)
    add_test(NAME golden_${script}
             COMMAND ${Python3_EXECUTABLE} golden/${script}.py $<TARGET_FILE:spanwatch>
             WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
    set_tests_properties(golden_${script} PROPERTIES LABELS golden)
  endforeach()
endif()

# The command line itself: verbs, options, errors, exit statuses.
if(Python3_FOUND)
  add_test(NAME golden_cli COMMAND Python3::Interpreter ${CMAKE_CURRENT_LIST_DIR}/test_cli.py $<TARGET_FILE:spanwatch>)
  set_tests_properties(golden_cli PROPERTIES LABELS golden SKIP_RETURN_CODE 77)
endif()

if(Python3_FOUND)
  add_test(NAME golden_workers COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_workers.py $<TARGET_FILE:spanwatch>
                                       $<TARGET_FILE:spanwatch-bench-generate>)
  set_tests_properties(golden_workers PROPERTIES LABELS golden TIMEOUT 900)
endif()
