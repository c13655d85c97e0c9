# A program of others over the library face, as the tests of `query` use it.
add_executable(query_library ${CMAKE_CURRENT_LIST_DIR}/query_library.c)
target_link_libraries(query_library PRIVATE query)

# A real redis-server on a private socket; skipped where there is none.
if(Python3_FOUND)
  foreach(script test_alarms_follow test_cmdb test_cmdb_probe test_query test_query_golden test_store_chaos test_store_live
                 test_store_snapshots test_top test_warm_start)
    add_test(NAME integration_${script} COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/${script}.py
                                                $<TARGET_FILE:spanwatch>)
    set_property(TEST integration_${script} PROPERTY ENVIRONMENT QUERY_LIBRARY=$<TARGET_FILE:query_library>)
    set_tests_properties(integration_${script} PROPERTIES LABELS integration SKIP_RETURN_CODE 77 TIMEOUT 400)
  endforeach()
  add_executable(spanwatch-store-driver ${CMAKE_CURRENT_LIST_DIR}/store_driver.c)
  target_link_libraries(spanwatch-store-driver PRIVATE ${rooms} PkgConfig::UV)
  add_test(NAME integration_test_store_writer COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_store_writer.py
                                              $<TARGET_FILE:spanwatch> $<TARGET_FILE:spanwatch-store-driver>)
  set_tests_properties(integration_test_store_writer PROPERTIES LABELS integration SKIP_RETURN_CODE 77 TIMEOUT 300)
  add_test(NAME integration_test_read_workers COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_read_workers.py
                                              $<TARGET_FILE:spanwatch> $<TARGET_FILE:spanwatch-bench-generate>)
  set_tests_properties(integration_test_read_workers PROPERTIES LABELS integration SKIP_RETURN_CODE 77 TIMEOUT 400)
endif()

# No server: generated days, read through a pipe.
if(Python3_FOUND)
  add_test(NAME integration_test_quiet_day COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_quiet_day.py
                                           --spanwatch $<TARGET_FILE:spanwatch> --day $<TARGET_FILE:spanwatch-bench-day>)
  set_tests_properties(integration_test_quiet_day PROPERTIES LABELS integration TIMEOUT 900)
endif()
