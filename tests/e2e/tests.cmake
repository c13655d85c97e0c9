# Real kernels: live between two network namespaces of the test's own (root), and recorded ones beside the repository.
if(Python3_FOUND)
  add_test(NAME e2e_judge COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_judge.py)
  set_tests_properties(e2e_judge PROPERTIES LABELS e2e TIMEOUT 60)

  add_test(NAME e2e_twin COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/twin.py
                                 --spanwatch $<TARGET_FILE:spanwatch>)
  # runs alone: what competes for the processor moves frames and samples apart
  set_tests_properties(e2e_twin PROPERTIES LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT 180 RUN_SERIAL TRUE)

  add_test(NAME e2e_kernel_truth COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/kernel_truth.py
                                         --spanwatch $<TARGET_FILE:spanwatch>)
  set_tests_properties(e2e_kernel_truth PROPERTIES LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT 600)

  add_test(NAME e2e_store_truth COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/store_truth.py
                                        --spanwatch $<TARGET_FILE:spanwatch>)
  set_tests_properties(e2e_store_truth PROPERTIES LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT 900)

  add_test(NAME e2e_alarm_truth COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/alarm_truth.py
                                        --spanwatch $<TARGET_FILE:spanwatch>)
  set_tests_properties(e2e_alarm_truth PROPERTIES LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT 600)

  add_test(NAME e2e_alarms_live COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/alarms_live.py
                                        --spanwatch $<TARGET_FILE:spanwatch>)
  set_tests_properties(e2e_alarms_live PROPERTIES LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT 400)

  add_test(NAME e2e_tap_loss COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/tap_loss.py
                                     --spanwatch $<TARGET_FILE:spanwatch>)
  set_tests_properties(e2e_tap_loss PROPERTIES LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT 600)

  add_test(NAME e2e_tap_copies COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/tap_copies.py
                                       --spanwatch $<TARGET_FILE:spanwatch>)
  set_tests_properties(e2e_tap_copies PROPERTIES LABELS e2e TIMEOUT 300)

  add_test(NAME e2e_live COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/live.py
                                 --spanwatch $<TARGET_FILE:spanwatch>)
  set_tests_properties(e2e_live PROPERTIES LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT 300)

  add_test(NAME e2e_live_share COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/live_share.py
                                       --spanwatch $<TARGET_FILE:spanwatch>)
  set_tests_properties(e2e_live_share PROPERTIES LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT 300)

  add_test(NAME e2e_live_truth COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/live_truth.py
                                       --spanwatch $<TARGET_FILE:spanwatch>)
  add_test(NAME e2e_live_truth_3_workers COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/live_truth.py
                                                 --spanwatch $<TARGET_FILE:spanwatch> --workers 3)
  set_tests_properties(e2e_live_truth_3_workers PROPERTIES LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT 300 RUN_SERIAL TRUE)
  set_tests_properties(e2e_live_truth PROPERTIES LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT 300 RUN_SERIAL TRUE)

  add_test(NAME e2e_flood COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/flood.py
                                  --spanwatch $<TARGET_FILE:spanwatch> --send $<TARGET_FILE:spanwatch-bench-send>
                                  --max-flows 2000 --rate 10000)
  set_tests_properties(e2e_flood PROPERTIES LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT 180 RUN_SERIAL TRUE)
endif()
