# Real kernels: live between two network namespaces of the test's own (root), and recorded ones beside the repository.

# The test NAME: SCRIPT.py with the program and ARGUMENTS, for TIMEOUT seconds at most; ALONE where what competes for the
# processor would move frames and samples apart.
function(spanwatch_e2e name)
  cmake_parse_arguments(E2E "ALONE" "SCRIPT;TIMEOUT" "ARGUMENTS" ${ARGN})
  if(NOT E2E_SCRIPT)
    set(E2E_SCRIPT ${name})
  endif()
  add_test(NAME e2e_${name} COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${E2E_SCRIPT}.py
                                    --spanwatch $<TARGET_FILE:spanwatch> ${E2E_ARGUMENTS})
  set_tests_properties(e2e_${name} PROPERTIES LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT ${E2E_TIMEOUT} RUN_SERIAL ${E2E_ALONE})
endfunction()

if(Python3_FOUND)
  add_test(NAME e2e_judge COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_judge.py)
  set_tests_properties(e2e_judge PROPERTIES LABELS e2e TIMEOUT 60)

  spanwatch_e2e(twin TIMEOUT 180 ALONE)
  spanwatch_e2e(kernel_truth TIMEOUT 600)
  spanwatch_e2e(store_truth TIMEOUT 900)
  spanwatch_e2e(alarm_truth TIMEOUT 600)
  spanwatch_e2e(alarms_live TIMEOUT 400)
  spanwatch_e2e(tap_loss TIMEOUT 600)
  spanwatch_e2e(tap_copies TIMEOUT 300)
  spanwatch_e2e(live TIMEOUT 300)
  spanwatch_e2e(live_share TIMEOUT 300)
  spanwatch_e2e(live_truth TIMEOUT 300 ALONE)
  spanwatch_e2e(live_truth_3_workers SCRIPT live_truth ARGUMENTS --workers 3 TIMEOUT 300 ALONE)
  spanwatch_e2e(flood ARGUMENTS --send $<TARGET_FILE:spanwatch-bench-send> --max-flows 2000 --rate 10000 TIMEOUT 180 ALONE)
endif()
