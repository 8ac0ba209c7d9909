# JSON is read by another program.
if(Python3_FOUND)
  add_test(NAME calls/inspect_json COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/calls/inspect_json.py
           $<TARGET_FILE:calls_test_inspect> ${CMAKE_SOURCE_DIR})
  set_tests_properties(calls/inspect_json PROPERTIES LABELS unit TIMEOUT 300)
endif()
