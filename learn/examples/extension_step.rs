//! What does Burn's extension API cost per step? A network of two fused layers and a fused loss behind
//! `#[backend_extension(Autodiff, Flex)]` with hand-written backward passes, once at 784-128-10 with 32 rows, once at
//! 1-1-2 with one row: in the second nearly all of the time is the price of the graph.
//! `cargo run -p learn --example extension_step`.

use std::time::Instant;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Device, Tensor, TensorData};

/// Fused operations.
#[backend_extension(Autodiff, Flex)]
pub trait FusedOps: Backend {
    /// `relu(x w + b)`.
    fn dense(x: FloatTensor<Self>, w: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_add(Self::float_matmul(x, w), b)
    }
    /// Half the sum of squares: a loss whose gradient is its input.
    fn half_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_mul_scalar(Self::float_sum(Self::float_mul(x.clone(), x)), 0.5f32.into())
    }
}

impl FusedOps for Flex {}

impl<B: Backend + FusedOps, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
    fn dense(x: FloatTensor<Self>, w: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Dense;
        impl<B: Backend> Backward<B, 3> for Dense {
            type State = (B::FloatTensorPrimitive, B::FloatTensorPrimitive);
            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [x_node, w_node, b_node] = ops.parents;
                let (x, w) = ops.state;
                let delta = grads.consume::<B>(&ops.node);
                if let Some(node) = x_node {
                    grads.register::<B>(node.id, B::float_matmul(delta.clone(), B::float_transpose(w)));
                }
                if let Some(node) = w_node {
                    grads.register::<B>(node.id, B::float_matmul(B::float_transpose(x), delta.clone()));
                }
                if let Some(node) = b_node {
                    grads.register::<B>(node.id, B::float_sum_dim(delta, 0));
                }
            }
        }
        let nodes = [x.node(), w.node(), b.node()];
        let state = (x.primitive().clone(), w.primitive().clone());
        let out = B::dense(x.into_primitive(), w.into_primitive(), b.into_primitive());
        match Dense.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn half_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct HalfSquares;
        impl<B: Backend> Backward<B, 1> for HalfSquares {
            type State = B::FloatTensorPrimitive;
            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [node] = ops.parents;
                let _ = grads.consume::<B>(&ops.node);
                if let Some(node) = node {
                    grads.register::<B>(node.id, ops.state);
                }
            }
        }
        let (nodes, state) = ([x.node()], x.primitive().clone());
        let out = B::half_squares(x.into_primitive());
        match HalfSquares.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

fn steps(rows: usize, inputs: usize, hidden: usize, outputs: usize) -> f64 {
    let device = Device::flex().autodiff();
    let tensor = |a: usize, b: usize| Tensor::<2>::from_data(TensorData::new(vec![0.001f32; a * b], [a, b]), &device);
    let mut parameters = [tensor(inputs, hidden), tensor(1, hidden), tensor(hidden, outputs), tensor(1, outputs)];
    let x = tensor(rows, inputs);
    let count = 2_000;
    let begin = Instant::now();
    for _ in 0..count {
        let [w0, b0, w1, b1] = parameters.clone().map(Tensor::require_grad);
        let dense = |x: Tensor<2>, w: &Tensor<2>, b: &Tensor<2>| {
            let (w, b) = (w.clone().into_dispatch(), b.clone().into_dispatch());
            Tensor::<2>::from_dispatch(<Dispatch as FusedOps>::dense(x.into_dispatch(), w, b))
        };
        let logits = dense(dense(x.clone(), &w0, &b0), &w1, &b1);
        let loss = Tensor::<1>::from_dispatch(<Dispatch as FusedOps>::half_squares(logits.into_dispatch()));
        let mut gradients = loss.backward();
        for (parameter, tracked) in parameters.iter_mut().zip([w0, b0, w1, b1]) {
            if let Some(gradient) = tracked.grad_remove(&mut gradients) {
                // The optimiser is left out: it would be a fused pass of our own on both ways.
                std::hint::black_box(gradient);
                *parameter = tracked.detach();
            }
        }
    }
    begin.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

fn main() -> std::io::Result<()> {
    let mut text = String::new();
    for _ in 0..3 {
        let (real, tiny) = (steps(32, 784, 128, 10), steps(1, 1, 1, 2));
        text += &format!("784-128-10, 32 rows: {real:.1} us per step; 1-1-2, 1 row (the graph): {tiny:.1} us\n");
    }
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())
}
