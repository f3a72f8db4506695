//! What is known of a column so far, as bytes: for who goes on with it in another place.

/// What was seen of a column.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ColumnState {
    /// Rows seen.
    #[prost(uint64, tag = "1")]
    pub rows: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) missing: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) texts: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) texts_bytes: u64,
    #[prost(message, optional, tag = "5")]
    pub(crate) counter: Option<CounterState>,
    #[prost(message, optional, tag = "6")]
    pub(crate) numbers: Option<NumbersState>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CounterState {
    #[prost(message, repeated, tag = "1")]
    pub(crate) counts: Vec<CountState>,
    /// Of the sketch, where there is one.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(crate) registers: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CountState {
    #[prost(fixed64, tag = "1")]
    pub(crate) hash: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) rows: u64,
    #[prost(string, tag = "3")]
    pub(crate) label: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NumbersState {
    #[prost(uint64, tag = "1")]
    pub(crate) infinite: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) count: u64,
    #[prost(double, tag = "3")]
    pub(crate) min: f64,
    #[prost(double, tag = "4")]
    pub(crate) max: f64,
    #[prost(double, tag = "5")]
    pub(crate) origin: f64,
    #[prost(double, tag = "6")]
    pub(crate) mean: f64,
    #[prost(double, tag = "7")]
    pub(crate) squares: f64,
    #[prost(message, optional, tag = "8")]
    pub(crate) sample: Option<SampleState>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SampleState {
    #[prost(uint64, tag = "1")]
    pub(crate) seen: u64,
    #[prost(double, repeated, tag = "2")]
    pub(crate) values: Vec<f64>,
}
