//! Whole projects: read, written again, broken, and those of the examples.

use super::*;

#[test]
fn a_project_hands_out_ready_parts() {
    let yaml = "tables:\n  late: SELECT * FROM early JOIN c ON true\n  early: SELECT * FROM b\n  other: SELECT * FROM a\nsources:\n  b: {csv: b.csv}\n  a: {csv: a.csv}\n  c: {csv: c.csv}\nmodels:\n  m: {table: late, target: t}\n  l: {table: a, target: t}\n";
    let project = load(yaml);
    let tables: Vec<_> = project.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(tables, ["early", "late", "other"]);
    assert_eq!(project.folder, Path::new("p"));
    assert_eq!(project.data_folder, Path::new("p/.tidemill"));
    let needs = project.needs(&["late"]);
    assert_eq!(needs.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(needs.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["early", "late"]);
    assert!(project.needs(&["a"]).tables.is_empty());
    assert!(project.has_table("a") && project.has_table("late") && !project.has_table("m"));
    let endpoints: Vec<_> =
        project.endpoints.iter().map(|endpoint| (endpoint.name.as_str(), endpoint.version)).collect();
    assert_eq!(endpoints, [("m", VersionSpec::Champion), ("l", VersionSpec::Champion)]);
    assert_eq!(project.model("l").unwrap().table, "a");
    assert!(project.model("mm").unwrap_err().message.starts_with("no model \"mm\""));
    let one = load(&format!(
        "{yaml}endpoints: {{e: {{model: m, version: 3, confidence_min: 0.5}}}}\nserver: {{body_bytes_max: 4096}}"
    ));
    assert_eq!(one.endpoints.len(), 1);
    assert_eq!((one.endpoints[0].version, one.endpoints[0].queue_max), (VersionSpec::Number(3), 1024));
    assert_eq!(one.server.body_bytes_max, 4096);
}

#[test]
fn rendering_fills_in_defaults_and_reads_back_as_the_same_project() {
    let texts = [
        project("", ""),
        project(
            "features: {exclude: [a, 'null', '5', 'yes', \"x: y\", 'tab\there', '$$a', ' ', é], columns: {a.b: date, \"q\\\"\": image}}",
            "",
        ),
        project(
            "split: {tables: {test: t, validation: v}}",
            "tables:\n  t: |\n    SELECT *\n      FROM people\n\n    WHERE x = '$$5'\n  v: \"  SELECT 1\\n \"\n",
        ),
        project(
            "train: {epochs: '${EPOCHS}', optimizer: {sgd: {momentum: 0.9}}, weight_decay: 1e-300}\nnetwork: ${NET}",
            "endpoints:\n  e: {model: income, version: 2}\n",
        ),
        project(
            "features: {columns: {a: {number: {clip: [-1e30, 0.1], impute: {constant: 2}}}, b: {image: {channels: rgb, width: 8}}}}",
            "server: {request_timeout_ms: 5}\n",
        ),
        project(
            &format!(
                "features: {{include: [{}]}}",
                (0..80).map(|i| format!("column_{i}")).collect::<Vec<_>>().join(", ")
            ),
            "",
        ),
        "sources:\n  s: {csv: {path: '${NONE:-x}', delimiter: \"\\t\", null_values: [NA, ~, '']}}\n".to_owned(),
    ];
    for text in texts {
        let first = load(&text);
        let rendered = first.render();
        let second = load(&rendered);
        assert!(second.sources == first.sources && second.tables == first.tables, "{rendered}");
        assert!(second.models == first.models, "{rendered}\n{:?}\n{:?}", second.models, first.models);
        assert!(second.endpoints == first.endpoints && second.server == first.server, "{rendered}");
        assert_eq!(second.shown(), first.shown());
        assert_eq!(second.render(), rendered);
    }
    let rendered = load(&project("train: {epochs: 20}", "")).render();
    assert!(rendered.contains("\n      epochs: 20\n      batch_size: 128 # default\n"), "{rendered}");
}

#[test]
fn files_that_cannot_be_read_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    let load =
        || Project::load(folder.path(), &[], &environment).err().map(|errors| errors.errors()[0].message.clone());
    assert_eq!(load().unwrap(), "no such project file; tidemill init --from FILE --target COLUMN writes one");
    std::fs::write(folder.path().join("tidemill.yml"), "").unwrap();
    assert_eq!(load().unwrap(), "no such project file; did you mean \"tidemill.yml\"?");
    std::fs::write(&file, b"a: 1\nb: \xff\n").unwrap();
    assert_eq!(load().unwrap(), "the project file is not UTF-8 text; the first wrong byte is in line 2");
    std::fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(load().unwrap(), "the project file is larger than 1 MiB");
    std::fs::write(&file, format!("\u{feff}{}", project("", ""))).unwrap();
    assert_eq!(load(), None);
    std::fs::write(&file, project("", "").replace('\n', "\r\n")).unwrap();
    assert_eq!(load(), None);
}

#[test]
fn broken_projects_never_panic() {
    let seed = project(
        "features: {exclude: [a], columns: {b: {number: {clip: [1, 2]}}}}\nsplit: {tables: {test: t}}\ntrain: {optimizer: {adam: {beta1: 0.5}}, epochs: '${EPOCHS}'}\nevaluate: {threshold: 0.4}",
        "tables:\n  t: SELECT * FROM people\nendpoints: {e: {model: income, version: 2}}\n",
    );
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let words =
        ["null", "[]", "{}", "-1", "1e400", "${EPOCHS}", "'", "\"", ": ", "- ", "\n", "[", "}", "é", "true", "<<"];
    for _ in 0..2_000 {
        let mut text = seed.clone();
        for _ in 0..=next(3) {
            let mut at = next(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let mut end = (at + next(6)).min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.replace_range(at..end.max(at), words[next(words.len())]);
        }
        if let Ok(project) = load_with(&text, &[]) {
            let rendered = project.render();
            let again = load(&rendered);
            assert!(again.models == project.models && again.sources == project.sources, "{text}\n{rendered}");
        }
    }
}

fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

#[test]
fn the_examples_are_right() {
    for name in ["digits", "line", "mnist", "adult"] {
        let file = examples().join(name).join(FILE_NAME);
        let project = Project::load(&file, &[], &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(project.models.len(), 1, "{name}");
        let rendered = project.render();
        let again =
            Project::parse(&rendered, &file, &[], &|_| None).unwrap_or_else(|errors| panic!("{rendered}\n{errors}"));
        assert_eq!(again.render(), rendered);
        assert!(file.with_file_name("README.md").exists(), "{name} has a page");
    }
    let data = |name: &str| (name == "TIDEMILL_DATA").then(|| "/d".to_owned());
    let mnist = Project::load(&examples().join("mnist"), &[], &data).unwrap();
    let SourceSpec::Idx(idx) = &mnist.sources[1].spec else { panic!("{:?}", mnist.sources) };
    assert_eq!(idx.labels, "/d/mnist/t10k-labels-idx1-ubyte.gz");
    assert!(mnist.render().contains("labels: \"${TIDEMILL_DATA:-data}/mnist/t10k-labels-idx1-ubyte.gz\"\n"));
}

/// 200 points of y = 2x + 1 with noise of standard deviation 0.2: a linear congruential generator (Knuth's MMIX), and the
/// sum of 12 uniform numbers less 6 as a normal one.
fn line_csv() -> String {
    let mut state = 2026_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut text = "x,y\n".to_owned();
    for _ in 0..200 {
        let x = 4.0 * uniform() - 2.0;
        let noise = (0..12).fold(0.0, |sum, _| sum + uniform()) - 6.0;
        text.push_str(&format!("{x:.4},{:.4}\n", 2.0 * x + 1.0 + 0.2 * noise));
    }
    text
}

#[test]
fn the_points_of_the_line_are_what_their_generator_makes() {
    let written = std::fs::read_to_string(examples().join("line/line.csv")).unwrap();
    assert_eq!(written, line_csv());
}
