//! Has an ONNX file been changed since it was written? Its last bytes are one more entry of `metadata_props` that
//! holds a checksum of all before it. Protobuf lets repeated fields stand anywhere, so every reader takes the file as
//! it is.

use prost::Message;

use super::proto::{ModelProto, StringStringEntryProto};

/// Adds the checksum.
pub(super) fn seal(mut file: Vec<u8>) -> Vec<u8> {
    let entry = entry(&file);
    file.extend(entry);
    file
}

/// Whether the file ends in the checksum of what comes before it.
pub(crate) fn is_whole(file: &[u8]) -> bool {
    let length = entry(&[]).len();
    file.split_at_checked(file.len().wrapping_sub(length)).is_some_and(|(body, end)| end == entry(body))
}

/// The entry for a body; always of the same length.
fn entry(body: &[u8]) -> Vec<u8> {
    // FNV-1a (Fowler, Noll, Vo): every step is a bijection, so no single changed byte goes unseen. Against accidents
    // only; the manifest of a model version has a cryptographic hash.
    let hash = body
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let entry = StringStringEntryProto { key: Some("tidemill.checksum".into()), value: Some(format!("{hash:016x}")) };
    ModelProto { metadata_props: vec![entry], ..ModelProto::default() }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_or_missing_byte_is_seen() {
        let file = seal((0..=255).collect());
        assert!(is_whole(&file));
        for i in 0..file.len() {
            let mut changed = file.clone();
            changed[i] ^= 0x10;
            assert!(!is_whole(&changed), "byte {i}");
            assert!(!is_whole(&file[..i]), "cut at {i}");
        }
        assert!(is_whole(&seal(Vec::new())));
    }
}
