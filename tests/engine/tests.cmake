# What turns.py times against others; never a test.
add_executable(bench_turns bench/bench_turns.c)
target_link_libraries(bench_turns PRIVATE dcv_engine)
