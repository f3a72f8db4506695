//! How does a step of training get as much out of the CPU as it can?
//!
//! *Good for*: products of batches and weights, activations, losses with their gradients, optimiser steps, dropout
//! masks, pixels to numbers, and the threads that share them. SIMD is chosen at run time ([`Level`]). *Not for*:
//! knowing what a network is (`net`).
//!
//! The one module with `unsafe`. Its functions are safe to call: sizes are checked at the border.
//!
//! **Panels.** A weight matrix `[inputs, outputs]` is kept as panels of 16 outputs, each `[inputs, 16]`, so that the
//! product reads memory in order, and a thread that owns some outputs owns whole panels: its weights and their moments
//! stay in its own cache from step to step. **No sum depends on the number of threads**, so neither do the weights.
#![allow(unsafe_code)]
#![allow(dead_code, unused_imports, reason = "the networks that they are for follow")]

mod activation;
mod batch_norm;
mod buffer;
mod conv;
mod conv_weight;
mod correlate;
mod dense;
mod dropout;
mod loss;
mod matmul;
mod optimizer;
mod pixels;
mod pool;
mod product;
mod simd;
mod team;
mod tile;

pub(crate) use activation::gradient;
pub(crate) use batch_norm::{
    After, Gate, Norm, NormScratch, Running, batch_norm_backward, batch_norm_forward, batch_norm_infer,
};
pub(crate) use buffer::{Buffer, Matrix, Panels};
pub(crate) use conv::{ConvScratch, ConvShape, conv_backward, conv_forward, conv_gradient};
pub(crate) use dense::{DenseState, dense_backward, dense_forward, dense_update};
pub(crate) use dropout::{dropout_mask, multiply};
pub(crate) use loss::{
    sigmoid_cross_entropy, sigmoid_squared_error, softmax_cross_entropy, softmax_squared_error, squared_error,
};
pub(crate) use loss::{sigmoid_rows, softmax_rows};
pub(crate) use matmul::{Strided, matmul, matmul_here};
pub(crate) use optimizer::{Moments, Update, update};
pub(crate) use pixels::scale_pixels;
pub(crate) use pool::{
    PoolShape, add_relu, add_relu_backward, average_pool_backward, average_pool_forward, global_average_backward,
    global_average_forward, max_pool_backward, max_pool_forward,
};
#[cfg(test)]
pub(crate) use simd::at_every_level;
pub(crate) use team::Team;
