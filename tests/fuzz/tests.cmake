# Mutated files, a few thousand of each here; see fuzz.h for more.
function(dcv_fuzz_test name layer)
  add_executable(${name} fuzz/${name}.c)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE dcv_${layer})
  add_test(NAME fuzz/${name} COMMAND ${name} 2000 1 ${ARGN})
  set_tests_properties(fuzz/${name} PROPERTIES LABELS "unit;fuzz" TIMEOUT 300)
endfunction()

set(onnx_good ${CMAKE_CURRENT_SOURCE_DIR}/golden/onnx/good)
dcv_fuzz_test(fuzz_onnx io ${onnx_good}/raw_types.onnx ${onnx_good}/typed_types.onnx ${onnx_good}/attributes.onnx
              ${onnx_good}/symbolic.onnx ${onnx_good}/unsorted.onnx ${onnx_good}/external.onnx)

set(inspect_golden ${CMAKE_CURRENT_SOURCE_DIR}/golden/inspect)
dcv_fuzz_test(fuzz_graph engine ${inspect_golden}/fixed.onnx ${inspect_golden}/open.onnx
              ${CMAKE_CURRENT_SOURCE_DIR}/golden/ops/ops8.onnx)

set(images ${CMAKE_CURRENT_SOURCE_DIR}/golden/images)
dcv_fuzz_test(fuzz_image io ${images}/jpeg_420.jpg ${images}/jpeg_progressive.jpg ${images}/jpeg_cmyk.jpg ${images}/png_rgb16_interlaced.png
              ${images}/png_palette8_trns.png ${images}/tiff_grey_lzw.tif ${images}/tiff_planes_tiled_mm.tif ${images}/tiff_palette.tif)
set(sets ${CMAKE_CURRENT_SOURCE_DIR}/golden/dataset)
dcv_fuzz_test(fuzz_dataset io ${sets}/five-idx3-ubyte ${sets}/five-idx3-ubyte.gz ${sets}/ustar.tar ${sets}/pax.tar ${sets}/gnu.tar)
dcv_fuzz_test(fuzz_truth io ${sets}/five-idx3-ubyte ${sets}/five_boxes.csv)
target_include_directories(fuzz_truth PRIVATE ${CMAKE_SOURCE_DIR}/src)
