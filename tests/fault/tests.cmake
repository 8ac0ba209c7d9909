# What may happen to a run: kills, failing calls, full disks.  The toy job of tests/runtime stands for every job.
set(fault_environment
    "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_btl_vader_single_copy_mechanism=none")

# dcv_fault_test(NAME TIMEOUT COMMAND...)
function(dcv_fault_test name timeout)
  add_test(NAME fault/${name} COMMAND ${ARGN} WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
  set_tests_properties(fault/${name} PROPERTIES LABELS "fault" TIMEOUT ${timeout} PROCESSORS 2 SKIP_RETURN_CODE 77
    ENVIRONMENT "${fault_environment}")
endfunction()

dcv_fault_test(kills 300 sh ${CMAKE_CURRENT_SOURCE_DIR}/fault/kills.sh $<TARGET_FILE:runtime_toy> ${MPIEXEC_EXECUTABLE} 10)
dcv_fault_test(stops 300 sh ${CMAKE_CURRENT_SOURCE_DIR}/fault/stops.sh $<TARGET_FILE:runtime_toy> ${MPIEXEC_EXECUTABLE})
dcv_fault_test(resume 300 sh ${CMAKE_CURRENT_SOURCE_DIR}/fault/resume.sh $<TARGET_FILE:runtime_toy> ${MPIEXEC_EXECUTABLE})
dcv_fault_test(poison 300 sh ${CMAKE_CURRENT_SOURCE_DIR}/fault/poison.sh $<TARGET_FILE:runtime_toy> ${MPIEXEC_EXECUTABLE})

add_library(fault_time SHARED fault/time_calls.c) # for measuring: README.md
target_link_libraries(fault_time PRIVATE ${CMAKE_DL_LIBS})
add_library(fault_nth SHARED fault/fail_nth.c)
target_link_libraries(fault_nth PRIVATE ${CMAKE_DL_LIBS})
dcv_fault_test(nth 300 sh ${CMAKE_CURRENT_SOURCE_DIR}/fault/nth.sh $<TARGET_FILE:runtime_toy> ${MPIEXEC_EXECUTABLE}
               $<TARGET_FILE:fault_nth> 23)
dcv_fault_test(disk 300 sh ${CMAKE_CURRENT_SOURCE_DIR}/fault/disk.sh $<TARGET_FILE:runtime_toy> ${MPIEXEC_EXECUTABLE})

# The same to the full count: `./quickstart.sh long`.
dcv_fault_test(kills_1000 36000 sh ${CMAKE_CURRENT_SOURCE_DIR}/fault/kills.sh $<TARGET_FILE:runtime_toy> ${MPIEXEC_EXECUTABLE} 1000)
dcv_fault_test(nth_all 36000 sh ${CMAKE_CURRENT_SOURCE_DIR}/fault/nth.sh $<TARGET_FILE:runtime_toy> ${MPIEXEC_EXECUTABLE}
               $<TARGET_FILE:fault_nth> 1)
set_tests_properties(fault/kills_1000 fault/nth_all PROPERTIES LABELS long)
