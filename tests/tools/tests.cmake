# What other tools say of the captures in ../shared/corpus; skipped where that is not there.
if(Python3_FOUND)
  foreach(tool compare_zeek compare_corpus)
    add_test(NAME ${tool} COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/${tool}.py $<TARGET_FILE:spanwatch>)
    set_tests_properties(${tool} PROPERTIES LABELS golden SKIP_RETURN_CODE 77 TIMEOUT 600)
  endforeach()
endif()
