# JSON is read by another program.
if(DCV_SYSTEM_PYTHON3)
  add_test(NAME calls/inspect_json COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/calls/inspect_json.py
           $<TARGET_FILE:calls_test_inspect> ${CMAKE_SOURCE_DIR})
  set_tests_properties(calls/inspect_json PROPERTIES LABELS unit TIMEOUT 300)
endif()

# The command line from outside: messages, exit codes, one voice under mpirun.
if(DCV_SYSTEM_PYTHON3)
  add_test(NAME calls/cli COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/calls/cli.py $<TARGET_FILE:deconvoy> ${MPIEXEC_EXECUTABLE} ${CMAKE_SOURCE_DIR})
  set_tests_properties(calls/cli PROPERTIES LABELS mpi TIMEOUT 300 PROCESSORS 2
    ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
endif()

# The reference of keys says what `describe` says.
add_test(NAME jobs/reference COMMAND sh ${CMAKE_SOURCE_DIR}/jobs/make_reference.sh $<TARGET_FILE:deconvoy> --check)
set_tests_properties(jobs/reference PROPERTIES LABELS unit TIMEOUT 60)

# ONNX test cases: what `conform` says of them.
if(DCV_SYSTEM_PYTHON3)
  add_test(NAME calls/conform COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/calls/conform.py $<TARGET_FILE:deconvoy>
           /usr/share/libonnx-testdata/data ${CMAKE_CURRENT_SOURCE_DIR}/calls/conform_out_of_scope.txt)
  set_tests_properties(calls/conform PROPERTIES LABELS unit TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()

# What ONNX's own cases leave out.
add_test(NAME calls/conform_own COMMAND deconvoy conform ${CMAKE_SOURCE_DIR}/tests/golden/cases)
set_tests_properties(calls/conform_own PROPERTIES LABELS golden TIMEOUT 60 PASS_REGULAR_EXPRESSION "\n9 passed, 0 failed, 0 unsupported\n")
