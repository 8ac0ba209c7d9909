# Results read by other programs: Debian's h5py, h5dump.  77, skipped, where they are missing.
find_program(DCV_SYSTEM_PYTHON3 python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(DCV_SYSTEM_PYTHON3)
  add_test(NAME io/store_h5py COMMAND ${DCV_SYSTEM_PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/io/store_h5py.py $<TARGET_FILE:io_test_store>)
  set_tests_properties(io/store_h5py PROPERTIES LABELS unit TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()
