# The benchmark: tests/bench/run.py makes captures and times their reading; ctest only checks the counts, at a small scale.
add_executable(spanwatch-bench-generate ${CMAKE_CURRENT_LIST_DIR}/generate.c ${CMAKE_CURRENT_LIST_DIR}/frames.c)
add_executable(spanwatch-bench-pcap-loop ${CMAKE_CURRENT_LIST_DIR}/pcap_loop.c)
add_executable(spanwatch-bench-send ${CMAKE_CURRENT_LIST_DIR}/send.c)
add_executable(spanwatch-bench-day ${CMAKE_CURRENT_LIST_DIR}/day.c ${CMAKE_CURRENT_LIST_DIR}/day_world.c
               ${CMAKE_CURRENT_LIST_DIR}/day_talk.c ${CMAKE_CURRENT_LIST_DIR}/frames.c)
target_link_libraries(spanwatch-bench-day PRIVATE m)
foreach(program spanwatch-bench-generate spanwatch-bench-pcap-loop spanwatch-bench-send spanwatch-bench-day)
  target_link_libraries(${program} PRIVATE spanwatch_flags)
  target_compile_options(${program} PRIVATE -O2) # in every kind of build: the captures are large
endforeach()
target_link_libraries(spanwatch-bench-pcap-loop PRIVATE PkgConfig::PCAP)

add_executable(spanwatch-bench-store ${CMAKE_CURRENT_LIST_DIR}/store_write.c)
target_include_directories(spanwatch-bench-store PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(spanwatch-bench-store PRIVATE ${rooms} PkgConfig::UV)

# The probe itself, with packets of the bench's own: two of its files are compiled to call the bench where they would call
# others, and stand before those of the library.
add_executable(spanwatch-bench-path ${CMAKE_CURRENT_LIST_DIR}/packet_path.c ${PROJECT_SOURCE_DIR}/probe/cli/worker.c
                                    ${PROJECT_SOURCE_DIR}/probe/cli/probe_loop.c)
target_include_directories(spanwatch-bench-path PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/probe/cli)
target_link_libraries(spanwatch-bench-path PRIVATE ${rooms} PkgConfig::UV)
set_source_files_properties(${PROJECT_SOURCE_DIR}/probe/cli/worker.c PROPERTIES COMPILE_DEFINITIONS
                            capture_live_read=bench_capture_live_read)
set_source_files_properties(${PROJECT_SOURCE_DIR}/probe/cli/probe_loop.c PROPERTIES COMPILE_DEFINITIONS
                            "probe_drain=bench_drain;probe_store_snapshot_go_on=bench_snapshot_go_on")

# `read` as it is, or without its alarms: one of its files asks the bench.
add_executable(spanwatch-bench-alarms ${CMAKE_CURRENT_LIST_DIR}/alarms_share.c ${PROJECT_SOURCE_DIR}/probe/cli/read.c)
target_include_directories(spanwatch-bench-alarms PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/probe/cli)
target_link_libraries(spanwatch-bench-alarms PRIVATE ${rooms} PkgConfig::UV)
set_source_files_properties(${PROJECT_SOURCE_DIR}/probe/cli/read.c PROPERTIES COMPILE_DEFINITIONS
                            "cli_alarms_take=bench_alarms_take;read_pipe_start=bench_pipe_start")
add_test(NAME bench_alarms COMMAND spanwatch-bench-alarms ${PROJECT_SOURCE_DIR}/pcaps/demo.pcap 2)
set_tests_properties(bench_alarms PROPERTIES LABELS bench TIMEOUT 60)

add_executable(spanwatch-bench-growth ${CMAKE_CURRENT_LIST_DIR}/growth.c)
target_link_libraries(spanwatch-bench-growth PRIVATE flow base)
add_test(NAME bench_growth COMMAND spanwatch-bench-growth 20000)
set_tests_properties(bench_growth PROPERTIES LABELS bench TIMEOUT 60)

if(Python3_FOUND)
  add_test(NAME bench_counts
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/run.py --counts-only --scale 0.002
                   --modes churn,elephants,million,synflood --spanwatch $<TARGET_FILE:spanwatch>
                   --generate $<TARGET_FILE:spanwatch-bench-generate>
                   --pcap-loop $<TARGET_FILE:spanwatch-bench-pcap-loop>)
  set_tests_properties(bench_counts PROPERTIES LABELS bench TIMEOUT 120)
endif()

# Of the optimised program: others are not what packets wait for.
if(Python3_FOUND AND CMAKE_BUILD_TYPE STREQUAL "Release")
  add_test(NAME bench_budget COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/budget.py --spanwatch $<TARGET_FILE:spanwatch>
                                     --generate $<TARGET_FILE:spanwatch-bench-generate>)
  set_tests_properties(bench_budget PROPERTIES LABELS budget SKIP_RETURN_CODE 77 TIMEOUT 200)
endif()

if(Python3_FOUND)
  add_test(NAME bench_store_cost COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/store_cost.py --check --build ${PROJECT_BINARY_DIR})
  set_tests_properties(bench_store_cost PROPERTIES LABELS bench SKIP_RETURN_CODE 77 TIMEOUT 200)
endif()

add_executable(bench_fill_store bench/fill_store.c)
target_link_libraries(bench_fill_store PRIVATE redis base)
if(Python3_FOUND)
  add_test(NAME bench_query
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/query.py --check --flows 2000 --transitions 20000 --partitions 1,8
                   --spanwatch $<TARGET_FILE:spanwatch> --fill-store $<TARGET_FILE:bench_fill_store>)
  set_tests_properties(bench_query PROPERTIES LABELS bench SKIP_RETURN_CODE 77 TIMEOUT 300)
endif()
