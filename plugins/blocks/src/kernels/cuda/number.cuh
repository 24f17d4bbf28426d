// Number formats: conversion to float and back, and vectors of 16 bytes.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(__half x) { return __half2float(x); }
__device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }
template <> __device__ __forceinline__ __half narrow<__half>(float x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }

template <typename T> struct alignas(16) Vector {
    static constexpr int LANES = 16 / sizeof(T);
    T at[LANES];
};

template <typename T> __device__ __forceinline__ Vector<T> load(const T *from) {
    return *reinterpret_cast<const Vector<T> *>(from);
}

template <typename T> __device__ __forceinline__ void store(T *to, const Vector<T> &vector) {
    *reinterpret_cast<Vector<T> *>(to) = vector;
}

// Makes NAME_f32, NAME_f16 and NAME_bf16 of a template NAME.
#define FOR_EACH_FORMAT(MAKE) \
    MAKE(f32, float)          \
    MAKE(f16, __half)         \
    MAKE(bf16, __nv_bfloat16)
