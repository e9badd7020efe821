//! Files across deaths and full disks.

use super::appending::Medium;
use super::*;
use crate::ledger::sinks::tests::id;
use proptest::prelude::*;
use std::fs;

const CARE: Care = Care {
    sync: true,
    line_bytes_max: 1_024,
};

fn line(n: u16) -> Line {
    Line {
        id: id(n),
        bytes: format!("{{\"id\":\"{}\",\"n\":{n}}}\n", id(n)).into_bytes(),
    }
}

fn lines(ns: impl IntoIterator<Item = u16>) -> Vec<Line> {
    ns.into_iter().map(line).collect()
}

fn text(ns: impl IntoIterator<Item = u16>) -> String {
    let bytes = ns.into_iter().flat_map(|n| line(n).bytes).collect();
    String::from_utf8(bytes).unwrap()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    (folder, path)
}

/// What a process leaves that dies at any byte of a batch, and what the next
/// one makes of it.
#[test]
fn a_batch_cut_at_any_byte_is_taken_once_when_it_is_offered_again() {
    let (before, whole) = (text(0..2), text(0..5));
    for cut in before.len()..=whole.len() {
        let (_folder, path) = place();
        fs::write(&path, &whole[..cut]).unwrap();
        let mut file = LineFile::open(&path, CARE).unwrap();
        let torn = fs::read_to_string(&path).unwrap();
        assert!(torn.is_empty() || torn.ends_with('\n'), "cut at {cut}");
        file.take_in(&lines(2..5)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), whole, "cut at {cut}");
        file.take_in(&lines(2..7)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text(0..7));
    }
}

#[test]
fn zeros_that_a_power_cut_left_are_cut() {
    let (_folder, path) = place();
    let mut bytes = text(0..2).into_bytes();
    bytes.extend([0; 100]);
    fs::write(&path, bytes).unwrap();
    let mut file = LineFile::open(&path, CARE).unwrap();
    file.take_in(&lines(1..3)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text(0..3));
}

#[test]
fn ids_are_known_of_the_last_lines_and_no_others() {
    let (_folder, path) = place();
    let most = IDS_KEPT_MAX as u16;
    fs::write(&path, text(0..most + 10)).unwrap();
    let mut file = LineFile::open(&path, CARE).unwrap();
    file.take_in(&lines([10, most, most + 9, most + 10]))
        .unwrap();
    let expected = text((0..most + 10).chain([most + 10]));
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    // The oldest was forgotten for it, and no other.
    file.take_in(&lines([10, 11])).unwrap();
    assert_eq!(file.known.order.len(), IDS_KEPT_MAX);
    assert_eq!(file.known.ids.len(), IDS_KEPT_MAX);
    assert_eq!(fs::read_to_string(&path).unwrap(), expected + &text([10]));
}

#[test]
fn an_id_twice_in_a_batch_is_taken_once() {
    let (_folder, path) = place();
    let mut file = LineFile::open(&path, CARE).unwrap();
    file.take_in(&lines([1, 2, 1, 3, 2])).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text(1..4));
}

#[test]
fn files_that_are_not_ours_are_left_alone() {
    let long = format!("{{{}", "x".repeat(2 * CARE.line_bytes_max));
    for content in ["root:x:0:0\n", "a secret", "{}\nno log of ours", &long] {
        let (_folder, path) = place();
        fs::write(&path, content).unwrap();
        let outcome = LineFile::open(&path, CARE).map(drop);
        assert!(
            matches!(outcome, Err(LinesError::NotALog { .. })),
            "{outcome:?}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn two_can_not_write_one_file() {
    let (_folder, path) = place();
    let first = LineFile::open(&path, CARE).unwrap();
    let second = LineFile::open(&path, CARE).map(drop);
    assert!(
        matches!(second, Err(LinesError::Locked { .. })),
        "{second:?}"
    );
    drop(first);
    LineFile::open(&path, CARE).unwrap();
}

#[test]
fn a_file_moved_away_is_left_and_its_ids_stay_known() {
    let (folder, path) = place();
    let mut file = LineFile::open(&path, CARE).unwrap();
    file.take_in(&lines(0..2)).unwrap();
    let moved = folder.path().join("usage.jsonl.1");
    fs::rename(&path, &moved).unwrap();
    file.take_in(&lines(1..4)).unwrap();
    assert_eq!(fs::read_to_string(&moved).unwrap(), text(0..2));
    assert_eq!(fs::read_to_string(&path).unwrap(), text(2..4));
    // By copy and truncation as well, and by removal.
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    file.take_in(&lines(3..5)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text(4..5));
    fs::remove_file(&path).unwrap();
    file.take_in(&lines(4..6)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text(5..6));
}

#[test]
fn a_folder_that_is_not_there_is_an_error_with_its_path() {
    let (folder, _) = place();
    let path = folder.path().join("nowhere/usage.jsonl");
    let error = LineFile::open(&path, CARE).map(drop).unwrap_err();
    assert!(error.to_string().contains("nowhere/usage.jsonl"), "{error}");
}

#[test]
fn a_device_takes_lines_without_an_end_to_look_at() {
    let mut null = LineFile::open(Path::new("/dev/null"), CARE).unwrap();
    null.take_in(&lines(0..3)).unwrap();
    let mut full = LineFile::open(Path::new("/dev/full"), CARE).unwrap();
    full.take_in(&lines(0..3)).unwrap_err();
    full.take_in(&lines(0..3)).unwrap_err();
}

/// A file on a disk with faults: each call takes its next answer from a list.
#[derive(Debug, Default)]
struct Faulty {
    bytes: Vec<u8>,
    /// Of writes: how many bytes are taken; 255 is a fault.
    writes: Vec<u8>,
    cuts: Vec<bool>,
    syncs: Vec<bool>,
    synced: usize,
}

fn answer(ok: bool) -> io::Result<()> {
    if ok {
        Ok(())
    } else {
        Err(io::ErrorKind::StorageFull.into())
    }
}

impl Medium for Faulty {
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = match self.writes.pop() {
            Some(255) => return Err(io::ErrorKind::StorageFull.into()),
            Some(254) => return Err(io::ErrorKind::Interrupted.into()),
            Some(most) => usize::from(most).min(bytes.len()),
            None => bytes.len(),
        };
        self.bytes.extend_from_slice(&bytes[..most]);
        Ok(most)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        answer(self.cuts.pop().unwrap_or(true))?;
        self.bytes.truncate(bytes as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        answer(self.syncs.pop().unwrap_or(true))?;
        self.synced = self.bytes.len();
        Ok(())
    }
}

fn append(appender: &mut Appender<Faulty>, batch: &[Line]) -> io::Result<()> {
    appender.append(batch.iter().map(|line| line.bytes.as_slice()))
}

proptest! {
    /// Whatever a disk refuses, and when: a batch that is offered until it is
    /// taken is in the file once, whole, and on disk.
    #[test]
    fn no_fault_tears_or_doubles_a_line(
        writes in proptest::collection::vec(prop_oneof![0..200u8, Just(255), Just(254)], 0..30),
        cuts in proptest::collection::vec(any::<bool>(), 0..6),
        syncs in proptest::collection::vec(any::<bool>(), 0..6),
    ) {
        let faulty = Faulty { writes, cuts, syncs, ..Faulty::default() };
        let mut appender = Appender::new(faulty, true, true);
        for batch in [0..3u16, 3..4, 4..9] {
            let mut rounds = 0;
            while append(&mut appender, &lines(batch.clone())).is_err() {
                rounds += 1;
                prop_assert!(rounds < 60);
            }
            prop_assert_eq!(
                std::str::from_utf8(&appender.medium().bytes).unwrap(),
                text(0..batch.end)
            );
            prop_assert_eq!(appender.medium().synced, appender.medium().bytes.len());
        }
    }

    /// A pipe can't be taken back from: what it began goes on.
    #[test]
    fn a_pipe_gets_each_line_once(
        writes in proptest::collection::vec(prop_oneof![0..200u8, Just(255), Just(254)], 0..30),
    ) {
        let faulty = Faulty { writes, ..Faulty::default() };
        let mut appender = Appender::new(faulty, false, true);
        let mut left = lines(0..6);
        for _ in 0..60 {
            let mut asked = 0;
            let outcome = appender.append(left.iter().map(|line| {
                asked += 1;
                line.bytes.as_slice()
            }));
            left.drain(..asked);
            if outcome.is_ok() {
                break;
            }
        }
        prop_assert_eq!(std::str::from_utf8(&appender.medium().bytes).unwrap(), text(0..6));
    }

    #[test]
    fn any_file_is_opened_or_refused(bytes in proptest::collection::vec(
        prop_oneof![Just(b'\n'), Just(b'{'), Just(0), any::<u8>()], 0..3_000,
    )) {
        let (_folder, path) = place();
        fs::write(&path, &bytes).unwrap();
        match LineFile::open(&path, CARE) {
            Ok(_) => {
                let left = fs::read(&path).unwrap();
                prop_assert!(left.is_empty() || left.ends_with(b"\n"));
                prop_assert!(bytes.starts_with(&left));
            }
            Err(_) => prop_assert_eq!(fs::read(&path).unwrap(), bytes),
        }
    }
}

/// A disk of 64 KiB, where this process may mount one.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(folder.path())
            .output();
        let disk = mounted.is_ok_and(|mounted| mounted.status.success());
        disk.then_some(Self(folder))
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let path = self.0.path();
        let _ = std::process::Command::new("umount").arg(path).output();
    }
}

/// The same on a real file system; where none can be mounted, the property
/// above stands for it.
#[test]
fn a_disk_that_is_full_and_then_is_not() {
    let Some(disk) = TinyDisk::new() else {
        eprintln!("no disk can be mounted here");
        return;
    };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![b'x'; 40 * 1024]).unwrap();
    let path = disk.0.path().join("usage.jsonl");
    let mut file = LineFile::open(&path, CARE).unwrap();
    let mut taken = 0;
    while file.take_in(&lines(taken..taken + 50)).is_ok() {
        taken += 50;
        assert!(taken < 2_000, "the disk is small");
    }
    assert!(taken > 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), text(0..taken));
    file.take_in(&lines(taken..taken + 50)).unwrap_err();
    // A process that starts while it is full.
    drop(file);
    let mut file = LineFile::open(&path, CARE).unwrap();
    file.take_in(&lines(taken..taken + 50)).unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), text(0..taken));
    fs::remove_file(&ballast).unwrap();
    file.take_in(&lines(taken..taken + 50)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text(0..taken + 50));
}
