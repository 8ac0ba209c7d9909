"""The blurred image and its PSF.  Usage: python3 read_blur.py RESULT.h5"""
import sys
import h5py

with h5py.File(sys.argv[1], "r") as f:
    image, psf = f["/blur/image"][()], f["/blur/psf"][()]
    print(f"image {image.shape}, from {image.min():.6g} to {image.max():.6g}, mean {image.mean():.6g}")
    print(f"PSF {psf.shape}, sum {psf.sum():.6g}, centre {f['/blur/psf'].attrs['centre'].tolist()}")
