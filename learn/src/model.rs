//! The one thing that answers.
