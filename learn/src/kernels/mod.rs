//! How does a step of training get as much out of the CPU as it can?
//!
//! *Good for*: products of batches and weights, convolutions, pooling, batch normalisation, activations, losses with
//! their gradients, optimiser steps, dropout masks, pixels to numbers, and the threads that share them. SIMD is chosen at
//! run time ([`Level`]). *Not for*: knowing what a network is (`net`).
//!
//! The one module with `unsafe`. Its functions are safe to call: sizes are checked at the border.
//!
//! **Panels.** A weight matrix `[inputs, outputs]` is kept as panels of 16 outputs, each `[inputs, 16]`, so that the
//! product reads memory in order, and a thread that owns some outputs owns whole panels: its weights and their moments
//! stay in its own cache from step to step. **No sum depends on the number of threads**, so neither do the weights.
#![allow(unsafe_code)]

mod activation;
mod attention;
mod batch_norm;
mod buffer;
mod clip;
mod conv;
mod conv_weight;
mod correlate;
mod denormal;
mod dense;
mod dropout;
mod elementwise;
mod linear;
mod loss;
mod matmul;
mod normalize;
#[cfg(test)]
mod numbers;
mod optimizer;
mod pack;
mod pixels;
mod pool;
mod prefetch;
mod product;
mod reconstruction;
mod recurrent;
mod shared;
mod simd;
mod softmax;
mod step;
mod team;
mod tile;

pub(crate) use activation::{activate, activate_with_slope, gradient};
pub(crate) use attention::{Attention, AttentionDropout, AttentionInput, AttentionShape};
pub(crate) use batch_norm::{Norm, NormScratch, Running, batch_norm_backward, batch_norm_forward, batch_norm_infer};
pub(crate) use buffer::{Buffer, Matrix, Panels};
pub(crate) use clip::{cut, length_squared, scale};
pub(crate) use conv::{ConvScratch, ConvShape, conv_backward, conv_forward, conv_gradient};
pub(crate) use denormal::FlushDenormals;
pub(crate) use dense::{DenseState, dense_backward, dense_forward, dense_update};
pub(crate) use dropout::{dropout_mask, dropout_mask_on, multiply};
pub(crate) use elementwise::{add, add_columns, add_to_rows, copy, gather, multiply_on, scatter_add, sum};
pub(crate) use linear::{LinearGradients, LinearShape, linear_backward, linear_forward};
pub(crate) use loss::{
    Mixed, Targets, absolute_error, exponential, huber, quantile, sigmoid_cross_entropy, sigmoid_focal, sigmoid_rows,
    sigmoid_squared_error, softmax_cross_entropy, softmax_focal, softmax_rows, softmax_squared_error, squared_error,
};
pub(crate) use normalize::LayerNorm;
#[cfg(test)]
pub(crate) use optimizer::tests as optimizer_examples;
pub(crate) use optimizer::{Decay, Moments, Update, update, update_on};
pub(crate) use pixels::scale_pixels;
pub(crate) use pool::{
    PoolShape, global_average_backward, global_average_forward, max_pool_backward, max_pool_forward,
};
pub(crate) use prefetch::prefetch;
pub(crate) use reconstruction::{FLOOR as RECONSTRUCTION_FLOOR, reconstruction_backward, reconstruction_score};
pub(crate) use recurrent::{Cell, Recurrent, RecurrentGradients, RecurrentShape, RecurrentWeights};
#[cfg(test)]
pub(crate) use simd::at_every_level;
pub(crate) use team::Team;
