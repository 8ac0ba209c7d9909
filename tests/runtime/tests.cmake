# The run-time without a network: a toy job at 1, 2, 3 and 5 ranks.
add_executable(runtime_toy runtime/toy.c)
target_link_libraries(runtime_toy PRIVATE dcv_runtime)

function(dcv_runtime_script name)
  cmake_parse_arguments(T "" "TIMEOUT" "LABELS" ${ARGN})
  add_test(NAME runtime/${name}
           COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/runtime/${name}.sh $<TARGET_FILE:runtime_toy> ${MPIEXEC_EXECUTABLE}
           WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
  set_tests_properties(runtime/${name} PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT} PROCESSORS 2
    ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_btl_vader_single_copy_mechanism=none")
endfunction()
dcv_runtime_script(ranks LABELS "mpi" TIMEOUT 300)
dcv_runtime_script(refusals LABELS "mpi" TIMEOUT 300)
foreach(name merge submit levels)
  add_test(NAME runtime/${name} COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/runtime/${name}.sh $<TARGET_FILE:deconvoy> ${MPIEXEC_EXECUTABLE}
           WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
  set_tests_properties(runtime/${name} PROPERTIES LABELS "mpi" TIMEOUT 200 PROCESSORS 2 SKIP_RETURN_CODE 77
    ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_btl_vader_single_copy_mechanism=none")
endforeach()
dcv_runtime_script(slices LABELS "mpi" TIMEOUT 300)
include(${CMAKE_CURRENT_SOURCE_DIR}/fault/tests.cmake)

# Measurements, not tests.
add_executable(bench_master bench/bench_master.c)
target_include_directories(bench_master PRIVATE ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(bench_master PRIVATE dcv_runtime)
