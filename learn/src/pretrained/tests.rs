//! Files of `torch.save` come from `bench/pretrained/fixtures.py`; hostile ones are made here.

use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::*;
use crate::{ErrorKind, Tensor};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/pretrained/fixtures").join(name)).unwrap()
}

/// A folder of Hugging Face, as `bench/pretrained/folders.py` wrote it.
pub(crate) fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/pretrained/fixtures").join(name)
}

/// The weights of these bytes, or the error of a file `x.pth` that has them.
fn weights_of(bytes: &[u8]) -> Result<Weights, String> {
    parse(bytes).map_err(|fault| fault.at(Path::new("x.pth")).to_string())
}

#[track_caller]
fn refuses(bytes: &[u8], expected: &str) {
    let error = weights_of(bytes).unwrap_err();
    assert!(error.starts_with("x.pth: ") && error.contains(expected), "{error}");
}

/// A zip archive of these entries, without the 64-bit forms that PyTorch writes.
fn zip_of(entries: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for &(name, bytes) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let packed = match deflate {
            true => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            false => bytes.to_vec(),
        };
        let mut fields = [20u16, 0, if deflate { 8 } else { 0 }, 0, 0].map(u16::to_le_bytes).concat();
        fields.extend([crc.sum(), packed.len() as u32, bytes.len() as u32].map(u32::to_le_bytes).concat());
        fields.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        let offset = file.len() as u32;
        file.extend([b"PK\x03\x04", fields.as_slice(), name.as_bytes(), &packed].concat());
        let rest = [&[0; 10][..], &offset.to_le_bytes(), name.as_bytes()].concat();
        directory.extend([b"PK\x01\x02\x14\x00", fields.as_slice(), &rest].concat());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let place = [directory.len() as u32, file.len() as u32].map(u32::to_le_bytes).concat();
    let start = file.len();
    file.extend(&directory);
    assert_eq!(file.len(), start + directory.len());
    file.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &place, &[0, 0]].concat());
    file
}

/// A pickle, written as its instructions.
#[derive(Default)]
struct Program(Vec<u8>);

impl Program {
    fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    fn int(self, number: i64) -> Self {
        self.op(&[0x8a, 8]).op(&number.to_le_bytes())
    }

    fn ints(self, numbers: &[i64]) -> Self {
        numbers.iter().fold(self.op(b"("), |program, &number| program.int(number)).op(b"t")
    }

    fn global(self, module: &str, name: &str) -> Self {
        self.op(b"c").op(module.as_bytes()).op(b"\n").op(name.as_bytes()).op(b"\n")
    }

    /// A tensor of the storage "0" that is said to have so many floats.
    fn tensor(self, stored: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .op(b"((")
            .text("storage")
            .global("torch", "FloatStorage")
            .text("0")
            .text("cpu")
            .int(stored)
            .op(b"tQ")
            .int(offset)
            .ints(shape)
            .ints(strides)
            .op(b"\x89)tR")
    }

    /// A file with the storage "0" of so many floats and this program's value under the name "w".
    fn file(self, stored: usize) -> Vec<u8> {
        let pickle = Self::default().op(b"\x80\x02}").text("w").op(&self.0).op(b"s.");
        let numbers: Vec<u8> = (0..stored).flat_map(|n| (n as f32).to_le_bytes()).collect();
        zip_of(&[("archive/data.pkl", &pickle.0), ("archive/data/0", &numbers)], false)
    }
}

fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor { shape: shape.to_vec(), data: data.to_vec() }
}

/// What `state_dict()` of the script gives.
fn check_state_dict(bytes: &[u8], file: &str) {
    let weights = weights_of(bytes).unwrap();
    let tied = tensor(&[4], &[0.25, 1.25, 2.25, 3.25]);
    let signed = tensor(&[3], &[-1.0, 0.0, 1.0]);
    let halves = tensor(&[3], &[0.0, 0.5, 1.0]);
    let expected = [
        ("float", tensor(&[2, 3], &[0.0, 0.5, 1.0, 1.5, 2.0, 2.5])),
        ("double", tensor(&[3], &[0.0, 0.1, 0.2])),
        ("half", halves.clone()),
        ("bfloat16", halves),
        ("long", signed.clone()),
        ("int", signed.clone()),
        ("short", signed.clone()),
        ("char", signed),
        ("byte", tensor(&[3], &[0.0, 1.0, 2.0])),
        ("bool", tensor(&[3], &[0.0, 1.0, 1.0])),
        ("transposed", tensor(&[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0])),
        ("slice", tensor(&[4], &[3.0, 4.0, 5.0, 6.0])),
        ("step", tensor(&[3], &[1.0, 4.0, 7.0])),
        ("block", tensor(&[2, 2, 2], &[4.0, 8.0, 16.0, 20.0, 6.0, 10.0, 18.0, 22.0])),
        ("expanded", tensor(&[3, 2], &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0])),
        ("tied.a", tied.clone()),
        ("tied.b", tied),
        ("parameter", tensor(&[2], &[0.0, 1.0])),
        ("scalar", tensor(&[], &[7.0])),
        ("empty", tensor(&[0, 3], &[])),
    ];
    for (name, expected) in &expected {
        assert_eq!(weights.get(name).unwrap(), expected, "{file}: {name}");
    }
    assert_eq!(weights.tensors.len(), expected.len(), "{file}");
}

#[test]
fn every_layout_of_torch_save_gives_the_same_tensors() {
    for file in ["state_dict.pth", "protocol_4.pth", "legacy.pth"] {
        check_state_dict(&fixture(file), file);
    }
    // The same entries deflated, as archives that were packed again are.
    let file = fixture("state_dict.pth");
    let mut archive = zip::Archive::open(&file).unwrap();
    let names: Vec<String> = archive.names().map(str::to_owned).collect();
    let entries: Vec<_> = names.iter().map(|name| (name.as_str(), archive.entry(name).unwrap().unwrap())).collect();
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|(name, bytes)| (*name, bytes.as_ref())).collect();
    check_state_dict(&zip_of(&entries, true), "deflated");
}

#[test]
fn of_a_checkpoint_the_state_dict_is_read_and_a_whole_module_is_refused() {
    let weights = weights_of(&fixture("checkpoint.pth")).unwrap();
    let names: Vec<&str> = weights.tensors.keys().map(String::as_str).collect();
    let norm = ["1.bias", "1.num_batches_tracked", "1.running_mean", "1.running_var", "1.weight"];
    assert_eq!(names, [&["0.bias", "0.weight"][..], &norm].concat());
    assert_eq!(*weights.get("0.weight").unwrap(), tensor(&[1, 2], &[1.0, 2.0]));
    assert_eq!(*weights.get("1.num_batches_tracked").unwrap(), tensor(&[], &[1.0]));
    refuses(&fixture("module.pth"), "asks to run torch.nn.modules.container.Sequential");
}

#[test]
fn whatever_a_pickle_asks_to_run_is_refused_by_name() {
    let call = |module: &str, name: &str| {
        Program::default().global(module, name).op(b"(").text("touch /tmp/x").op(b"tR").file(1)
    };
    refuses(&call("os", "system"), "refused: the file asks to run os.system; weights are tensors only");
    refuses(&call("builtins", "eval"), "builtins.eval");
    refuses(&call("torch", "load"), "torch.load");
    refuses(&call("torch._utils", "_rebuild_sparse_tensor"), "torch._utils._rebuild_sparse_tensor");
    // A name that would move the cursor of a terminal is shown escaped.
    refuses(&call("os", "\x1b[2J"), "os.\\u{1b}[2J");
    let by_stack = Program::default().text("posix").text("system").op(b"\x93").file(1);
    refuses(&by_stack, "posix.system");
    let build = Program::default().tensor(1, 0, &[1], &[1]).op(b"}b").file(1);
    refuses(&build, "BUILD");
    // INST, OBJ, EXT1: other ways to reach a class.
    for op in [b"i", b"o", b"\x82"] {
        refuses(&Program::default().op(b"(").op(op).file(1), &format!("instruction {:#04x}", op[0]));
    }
}

#[test]
fn a_tensor_that_its_storage_cannot_hold_is_refused() {
    let file = |stored, offset, shape: &[i64], strides: &[i64]| {
        Program::default().tensor(stored, offset, shape, strides).file(6)
    };
    assert_eq!(weights_of(&file(6, 1, &[2], &[3])).unwrap().tensors["w"], tensor(&[2], &[1.0, 4.0]));
    let huge = 1i64 << 40;
    refuses(&file(6, 0, &[7], &[1]), "tensor \"w\": reaches to number 7 of a storage of 6");
    refuses(&file(6, 6, &[1], &[1]), "reaches to number 7");
    refuses(&file(7, 0, &[6], &[1]), "reaches to number 7");
    refuses(&file(6, 0, &[2, 2], &[huge, 1]), "of a storage of 6");
    refuses(&file(6, 0, &[huge, huge], &[1, 1]), "impossible shape");
    refuses(&file(6, i64::MAX, &[3], &[i64::MAX]), "impossible shape");
    refuses(&file(6, 0, &[-1], &[1]), "-1 where a length is expected");
    refuses(&file(6, 0, &[1], &[-1]), "-1 where a length is expected");
    refuses(&file(6, 0, &[1], &[]), "1 axes and 0 strides");
    refuses(&file(6, 0, &[1; 65], &[1; 65]), "65 axes");
    // A gigabyte by repeating one number.
    refuses(&file(6, 0, &[1 << 28], &[0]), "makes the weights far larger than the file");
    assert_eq!(weights_of(&file(6, 9, &[0, huge], &[1, 1])).unwrap().tensors["w"].shape, [0, 1 << 40]);
}

#[test]
fn programs_that_make_much_of_little_end() {
    // A million times the same tensor costs a million steps, ten million are too many.
    let mut program = Program::default().op(b"(").tensor(1, 0, &[1], &[1]).op(b"q\0");
    program.0.extend(b"h\0".repeat(8_000_000));
    refuses(&program.op(b"t").file(1), "more than 8000000 steps");
    // Each dict holds all the pairs of a long list.
    let mut program = Program::default().op(b"](").op(&b"K\x01K\x02\x86".repeat(3_000)).op(b"e\x85q\0");
    for _ in 0..3_000 {
        program = program.global("collections", "OrderedDict").op(b"h\0R");
    }
    refuses(&program.op(b"t").file(1), "more than 8000000 steps");
    let zeros = vec![0; 4 << 20];
    let bomb = zip_of(&[("archive/data.pkl", &zeros)], true);
    assert!(bomb.len() < 10_000);
    refuses(&bomb, "says it becomes 4194304 bytes, more than 64 times its archive");
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    for name in ["state_dict.pth", "protocol_4.pth", "legacy.pth", "checkpoint.pth"] {
        let file = fixture(name);
        for length in 0..file.len() {
            assert!(parse(&file[..length]).is_err(), "{name} cut to {length} bytes");
        }
    }
    let weights = weights_of(&fixture("legacy.pth")).unwrap();
    let file = crate::weights::to_bytes(weights.tensors.iter().map(|(n, t)| (n.clone(), t)), None).unwrap();
    assert_eq!(weights_of(&file).unwrap(), weights);
    for length in 0..file.len() {
        assert!(parse(&file[..length]).is_err(), "safetensors cut to {length} bytes");
    }
}

#[test]
fn a_file_with_any_byte_changed_is_read_or_refused_within_its_bounds() {
    let weights = weights_of(&fixture("checkpoint.pth")).unwrap();
    let ours = crate::weights::to_bytes(weights.tensors.iter().map(|(n, t)| (n.clone(), t)), None).unwrap();
    let stored = fixture("checkpoint.pth");
    let mut archive = zip::Archive::open(&stored).unwrap();
    let pickle = archive.entry("checkpoint/data.pkl").unwrap().unwrap().into_owned();
    let deflated = zip_of(&[("a/data.pkl", &pickle), ("a/data/0", &[0; 64])], true);
    for file in [ours, stored.clone(), fixture("legacy.pth"), deflated] {
        for place in 0..file.len() {
            for change in [0x01, 0xff] {
                let mut changed = file.clone();
                changed[place] ^= change;
                if let Ok(weights) = parse(&changed) {
                    assert!(weights.parameters() <= 4 * file.len(), "byte {place} ^ {change:#x}");
                    assert!(weights.tensors.values().all(|t| t.shape.iter().product::<usize>() == t.data.len()));
                }
            }
        }
    }
    // The checksum of the archive hides the pickle from such changes.
    for place in 0..pickle.len() {
        for change in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
            let mut changed = pickle.clone();
            changed[place] ^= change;
            let _ = pickle::parse(&changed).map(|pickle| pickle.length);
        }
    }
}

#[test]
fn archives_that_contradict_themselves_are_refused() {
    let pickle = Program::default().op(b"}.").0;
    refuses(&zip_of(&[("readme.txt", b"hello")], false), "without data.pkl");
    refuses(&zip_of(&[("data.pkl", &pickle), ("data.pkl", &pickle)], false), "\"data.pkl\" twice");
    refuses(&zip_of(&[("data.pkl", &pickle), ("byteorder", b"big")], false), "big-endian");
    refuses(&zip_of(&[("data.pkl", &pickle)], false), "no tensors by name");
    refuses(b"\x80\x04\x95\x02\0\0\0\0\0\0\0}.", "a pickle that is not of torch.save");
    let mut changed = Program::default().tensor(6, 0, &[6], &[1]).file(6);
    let numbers = changed.windows(4).position(|bytes| bytes == 1f32.to_le_bytes()).unwrap();
    changed[numbers] ^= 1;
    refuses(&changed, "its checksum is another");
    refuses(b"\x89HDF\r\n\x1a\n--------", "it looks like HDF5 (Keras)");
    refuses(b"", "not a file of weights");
}

/// A safetensors file with this header.
fn safetensors_of(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn safetensors_of_every_number_format_become_f32_and_lying_ones_are_refused() {
    let file = |dtype: &str, shape: &str, data: &[u8]| {
        let end = data.len();
        safetensors_of(&format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#), data)
    };
    let check = |dtype: &str, data: &[u8]| {
        assert_eq!(weights_of(&file(dtype, "[2]", data)).unwrap().tensors["w"], tensor(&[2], &[1.0, 0.0]), "{dtype}");
    };
    check("F64", &[1f64, 0.0].map(f64::to_le_bytes).concat());
    check("F32", &[1f32, 0.0].map(f32::to_le_bytes).concat());
    check("F16", &[0x00, 0x3c, 0, 0]);
    check("BF16", &[0x80, 0x3f, 0, 0]);
    check("I64", &[1i64, 0].map(i64::to_le_bytes).concat());
    check("I32", &[1i32, 0].map(i32::to_le_bytes).concat());
    check("I16", &[1, 0, 0, 0]);
    check("U16", &[1, 0, 0, 0]);
    check("I8", &[1, 0]);
    check("U8", &[1, 0]);
    check("BOOL", &[1, 0]);
    refuses(&file("F8_E4M3", "[2]", &[0, 0]), "tensor \"w\" is F8_E4M3");
    refuses(&file("F32", "[3]", &[0; 8]), "not a whole safetensors file");
    refuses(&file("F32", "[4611686018427387904,8]", &[0; 8]), "not a whole safetensors file");
    refuses(&file("X", "[2]", &[0; 8]), "not a whole safetensors file");
    let mut long = file("F32", "[2]", &[0; 8]);
    long[..8].copy_from_slice(&100_000_001u64.to_le_bytes());
    refuses(&long, "not a whole safetensors file");
    refuses(&[&u64::MAX.to_le_bytes()[..], b"{}"].concat(), "not a whole safetensors file");
}

#[test]
fn a_folder_is_read_whole_or_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let save = |name: &str, tensors: &[(&str, f32)]| {
        let tensors = tensors.iter().map(|(name, value)| ((*name).to_owned(), tensor(&[1], &[*value]))).collect();
        Weights { tensors }.save(&place(name)).unwrap();
    };
    let error = |path: &Path| read(path).unwrap_err();
    assert_eq!(error(folder.path()).kind(), ErrorKind::NotFound);
    assert!(error(folder.path()).to_string().contains("expected model.safetensors"));
    assert_eq!(error(&place("absent.pth")).kind(), ErrorKind::Io);
    save("model-1-of-2.safetensors", &[("a", 1.0), ("unused", 9.0)]);
    assert_eq!(read(folder.path()).unwrap().tensors.len(), 2);
    save("model-2-of-2.safetensors", &[("b", 2.0)]);
    assert!(error(folder.path()).to_string().contains("(model-1-of-2.safetensors, model-2-of-2.safetensors)"));
    let index = |text: &str| std::fs::write(place("model.safetensors.index.json"), text).unwrap();
    index(r#"{"metadata":{},"weight_map":{"a":"model-1-of-2.safetensors","b":"model-2-of-2.safetensors"}}"#);
    let weights = read(folder.path()).unwrap();
    assert_eq!(weights.tensors.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(weights.get("b").unwrap().data, [2.0]);
    let refused = |text: &str, expected: &str| {
        index(text);
        let error = error(folder.path()).to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused(r#"{"weight_map":{"a":"model-2-of-2.safetensors"}}"#, "\"model-2-of-2.safetensors\" lacks tensor \"a\"");
    refused(r#"{"weight_map":{"a":"../secret.safetensors"}}"#, "is not the name of a file of this folder");
    refused(r#"{"weight_map":{"a":".."}}"#, "is not the name of a file of this folder");
    refused(r#"{"weight_map":{"a":"/etc/passwd"}}"#, "is not the name of a file of this folder");
    refused(r#"{"weight_map":7}"#, "not an index of weights");
    refused(r#"{"weight_map":{"a":"model-3-of-2.safetensors"}}"#, "model-3-of-2.safetensors");
    // A whole file is preferred.
    save("model.safetensors", &[("c", 3.0)]);
    assert_eq!(read(folder.path()).unwrap().tensors.keys().collect::<Vec<_>>(), ["c"]);
}
