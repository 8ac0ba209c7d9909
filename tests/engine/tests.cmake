# What turns.py times against others; never a test.
add_executable(bench_turns bench/bench_turns.c)
target_link_libraries(bench_turns PRIVATE dcv_engine)
add_executable(bench_windows bench/bench_windows.c)
target_include_directories(bench_windows PRIVATE ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(bench_windows PRIVATE dcv_engine)
