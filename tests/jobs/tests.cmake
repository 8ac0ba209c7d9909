# Jobs from end to end, against references of another origin.  Not part of `-L unit`: they take minutes.
if(DCV_SYSTEM_PYTHON3 AND TARGET deconvoy)
  set(backends blas)
  if(DNNL_LIBRARY AND DNNL_INCLUDE_DIR)
    set(backends blas,onednn)
  endif()
  foreach(case top_strict top_fast top_backends top_threads top_variants top_labels sized infer_squeezenet infer_backends infer_small pack
               fashion sources bad_pictures bad_config bad_files again kill)
    add_test(
      NAME jobs/${case}
      COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/jobs/run_cases.py ${case} --deconvoy $<TARGET_FILE:deconvoy>
              --source ${CMAKE_SOURCE_DIR} --work ${CMAKE_CURRENT_BINARY_DIR}/jobs --mpiexec ${MPIEXEC_EXECUTABLE} --backends ${backends})
    set_tests_properties(jobs/${case} PROPERTIES LABELS "golden;mpi" TIMEOUT 600 SKIP_RETURN_CODE 77 PROCESSORS 2)
  endforeach()
  foreach(case golden squeezenet sized parts killed shared rooms bad photos)
    add_test(NAME jobs/occlusion_${case} COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/jobs/occlusion.py $<TARGET_FILE:deconvoy>
             ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/jobs/occlusion_${case} ${MPIEXEC_EXECUTABLE} ${case})
    set_tests_properties(jobs/occlusion_${case} PROPERTIES LABELS "golden;mpi" TIMEOUT 600 SKIP_RETURN_CODE 77 PROCESSORS 2)
  endforeach()
  set_tests_properties(jobs/occlusion_photos PROPERTIES LABELS long)
  add_test(NAME jobs/small_nets COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/jobs/small_nets.py $<TARGET_FILE:deconvoy>
           ${CMAKE_CURRENT_BINARY_DIR}/jobs/small_nets ${MPIEXEC_EXECUTABLE})
  set_tests_properties(jobs/small_nets PROPERTIES LABELS "golden;mpi" TIMEOUT 600 SKIP_RETURN_CODE 77 PROCESSORS 2)
  add_test(NAME jobs/infer_made COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/jobs/infer_made.py $<TARGET_FILE:deconvoy>
           ${CMAKE_CURRENT_BINARY_DIR}/jobs/infer_made ${MPIEXEC_EXECUTABLE})
  set_tests_properties(jobs/infer_made PROPERTIES LABELS "golden;mpi" TIMEOUT 300 SKIP_RETURN_CODE 77 PROCESSORS 2)
  add_test(NAME jobs/infer_shared COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/jobs/infer_shared.py $<TARGET_FILE:deconvoy>
           ${CMAKE_SOURCE_DIR}/../shared/data ${CMAKE_CURRENT_BINARY_DIR}/jobs/infer_shared ${MPIEXEC_EXECUTABLE})
  set_tests_properties(jobs/infer_shared PROPERTIES LABELS "golden;mpi" TIMEOUT 300 SKIP_RETURN_CODE 77 PROCESSORS 2)
  foreach(case nets ranks refused)
    add_test(NAME jobs/infer_tiles_${case} COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/jobs/infer_tiles.py ${case} $<TARGET_FILE:deconvoy>
             ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/jobs/infer_tiles_${case} ${MPIEXEC_EXECUTABLE})
    set_tests_properties(jobs/infer_tiles_${case} PROPERTIES LABELS "golden;mpi" TIMEOUT 300 SKIP_RETURN_CODE 77 PROCESSORS 2)
  endforeach()
  add_test(NAME jobs/reconstruct COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/jobs/reconstruct.py $<TARGET_FILE:deconvoy>
           ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/jobs/reconstruct ${MPIEXEC_EXECUTABLE})
  set_tests_properties(jobs/reconstruct PROPERTIES LABELS "golden;mpi" TIMEOUT 600 SKIP_RETURN_CODE 77 PROCESSORS 2)
  add_test(NAME jobs/top_back COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/jobs/top_back.py $<TARGET_FILE:deconvoy>
           ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/jobs/top_back ${MPIEXEC_EXECUTABLE})
  set_tests_properties(jobs/top_back PROPERTIES LABELS "golden;mpi" TIMEOUT 600 SKIP_RETURN_CODE 77 PROCESSORS 2)
  add_test(NAME jobs/cam COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/jobs/cam.py $<TARGET_FILE:deconvoy>
           ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/jobs/cam ${MPIEXEC_EXECUTABLE})
  set_tests_properties(jobs/cam PROPERTIES LABELS "golden;mpi" TIMEOUT 600 SKIP_RETURN_CODE 77 PROCESSORS 2)
  add_test(NAME jobs/modern COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/jobs/modern.py $<TARGET_FILE:deconvoy>
           ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/jobs/modern ${backends})
  set_tests_properties(jobs/modern PROPERTIES LABELS golden TIMEOUT 300 SKIP_RETURN_CODE 77)
  foreach(case golden rise ranks kill refused)
    add_test(NAME jobs/gradient_ascent_${case}
             COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/jobs/gradient_ascent.py ${case} $<TARGET_FILE:deconvoy>
                     ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/jobs/gradient_ascent ${MPIEXEC_EXECUTABLE})
    set_tests_properties(jobs/gradient_ascent_${case} PROPERTIES LABELS "golden;mpi" TIMEOUT 600 SKIP_RETURN_CODE 77 PROCESSORS 2)
  endforeach()
  add_test(NAME jobs/verdict COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/jobs/verdict.py)
  set_tests_properties(jobs/verdict PROPERTIES LABELS unit TIMEOUT 60)
endif()
