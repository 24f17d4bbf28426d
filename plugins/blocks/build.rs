//! Compiles the CUDA kernels to PTX, where the feature `cuda` is on.

#[cfg(feature = "cuda")]
fn main() -> cudaforge::Result<()> {
    println!("cargo::rerun-if-changed=src/kernels/cuda");
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("cuda.rs");
    cudaforge::KernelBuilder::new().source_dir("src/kernels/cuda").arg("-O3").arg("-std=c++17").build_ptx()?.write(out)
}

#[cfg(not(feature = "cuda"))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
