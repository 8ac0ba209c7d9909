# One object over several ranks.
foreach(real F32 F64)
  add_executable(deblur_slab_bytes_${real} deblur/slab_bytes.c)
  target_include_directories(deblur_slab_bytes_${real} PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_compile_definitions(deblur_slab_bytes_${real} PRIVATE DCV_DEBLUR_${real})
  target_link_libraries(deblur_slab_bytes_${real} PRIVATE dcv_deblur)
endforeach()
set(deblur_mpi "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_btl_vader_single_copy_mechanism=none")
add_test(NAME deblur/slab_ranks COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/deblur/slab.sh $<TARGET_FILE:deblur_slab_bytes_F32>
         $<TARGET_FILE:deblur_slab_bytes_F64> ${MPIEXEC_EXECUTABLE})
set_tests_properties(deblur/slab_ranks PROPERTIES LABELS mpi TIMEOUT 300 PROCESSORS 2 ENVIRONMENT "${deblur_mpi}")

# Methods against NumPy, which comes with h5py.
add_executable(deblur_solve deblur/solve.c)
target_link_libraries(deblur_solve PRIVATE dcv_deblur)
if(DCV_SYSTEM_PYTHON3)
  add_test(NAME deblur/methods COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/deblur/methods.py $<TARGET_FILE:deblur_solve>)
  set_tests_properties(deblur/methods PROPERTIES LABELS golden TIMEOUT 300 SKIP_RETURN_CODE 77 ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
endif()
if(DCV_SYSTEM_PYTHON3)
  add_test(NAME deblur/job COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/deblur/job.py $<TARGET_FILE:deconvoy> ${MPIEXEC_EXECUTABLE})
  set_tests_properties(deblur/job PROPERTIES LABELS mpi TIMEOUT 400 SKIP_RETURN_CODE 77 PROCESSORS 2 ENVIRONMENT "${deblur_mpi};PYTHONDONTWRITEBYTECODE=1")
endif()
if(DCV_SYSTEM_PYTHON3)
  add_test(NAME deblur/skimage COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/deblur/skimage_golden.py
           $<TARGET_FILE:deblur_solve> ${CMAKE_SOURCE_DIR}/tests/golden/deblur/skimage.txt)
  add_test(NAME deblur/score COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/deblur/score.py $<TARGET_FILE:deconvoy>
           ${CMAKE_SOURCE_DIR}/tests/golden/deblur/score.txt)
  set_tests_properties(deblur/skimage deblur/score PROPERTIES LABELS golden TIMEOUT 600 SKIP_RETURN_CODE 77
                       ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
endif()
if(DCV_SYSTEM_PYTHON3)
  add_test(NAME deblur/psf COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/deblur/psf.py $<TARGET_FILE:deconvoy>)
  set_tests_properties(deblur/psf PROPERTIES LABELS golden TIMEOUT 400 SKIP_RETURN_CODE 77
                       ENVIRONMENT "${deblur_mpi};PYTHONDONTWRITEBYTECODE=1")
endif()
if(DCV_SYSTEM_PYTHON3)
  add_test(NAME deblur/inputs COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/deblur/inputs.py $<TARGET_FILE:deconvoy>
           ${MPIEXEC_EXECUTABLE})
  set_tests_properties(deblur/inputs PROPERTIES LABELS mpi TIMEOUT 400 SKIP_RETURN_CODE 77 PROCESSORS 2
                       ENVIRONMENT "${deblur_mpi};PYTHONDONTWRITEBYTECODE=1")
endif()
if(DCV_SYSTEM_PYTHON3)
  foreach(times 3 60)
    add_test(NAME deblur/faults_${times} COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/deblur/faults.py
             $<TARGET_FILE:deconvoy> ${MPIEXEC_EXECUTABLE} ${times})
    set_tests_properties(deblur/faults_${times} PROPERTIES LABELS fault TIMEOUT 600 SKIP_RETURN_CODE 77 PROCESSORS 2
                         ENVIRONMENT "${deblur_mpi};PYTHONDONTWRITEBYTECODE=1")
  endforeach()
  set_tests_properties(deblur/faults_60 PROPERTIES LABELS long TIMEOUT 7200)
endif()
if(DCV_SYSTEM_PYTHON3) # `./quickstart.sh long`
  add_test(NAME deblur/mutants COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/deblur/mutants.py ${CMAKE_SOURCE_DIR})
  set_tests_properties(deblur/mutants PROPERTIES LABELS long TIMEOUT 3600 PROCESSORS 2 ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
endif()
