# The command line from outside: messages, exit codes, one voice under mpirun.
if(TARGET deconvoy AND Python3_FOUND)
  add_test(NAME calls/cli COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/calls/cli.py $<TARGET_FILE:deconvoy> ${MPIEXEC_EXECUTABLE} ${CMAKE_SOURCE_DIR})
  set_tests_properties(calls/cli PROPERTIES LABELS mpi TIMEOUT 300 PROCESSORS 2
    ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
endif()
