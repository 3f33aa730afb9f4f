//! Promises of the WASI functions, called as a guest calls them: with addresses in its memory.

use super::*;
use crate::log::Log;
use compute::executor::{Limits, Work};
use compute::module::WASI_FUNCTIONS;
use std::time::Duration;
use tokio::sync::mpsc;
use wasmtime::Engine;

/// The descriptor of `/out`.
const OUT_FD: u32 = 4;
/// Where answers go.
const ANSWER: u32 = 0;
/// Where lists of buffers go.
const LIST: u32 = 64;
/// Where paths go.
const PATH: u32 = 128;
/// Where bytes go.
const DATA: u32 = 1024;

/// A guest without code: its state and its memory.
struct Bench {
    guest: Guest,
    memory: Vec<u8>,
    fuel: u64,
}

impl Bench {
    fn new() -> Self {
        let limits = Limits {
            fuel: 0,
            memory_bytes: 0,
            wall: Duration::ZERO,
            output_bytes: 1000,
            log_bytes: 1000,
            files_max: 10,
        };
        let work = Work {
            module: Default::default(),
            args: vec!["a".into(), "bc".into()],
            env: Default::default(),
            inputs: Vec::new(),
            out_dir: Default::default(),
            limits,
            seed: [0; 32],
        };
        let (logs, _) = mpsc::channel(1);
        let guest = Guest::new(&work, Log::new(limits.log_bytes, logs)).unwrap();
        Self { guest, memory: vec![0; 4096], fuel: 1_000_000 }
    }

    /// The error number of a call: 0 if it went well.
    fn call(&mut self, function: impl FnOnce(&mut Call<'_>) -> Answer) -> u16 {
        let mut call = Call { memory: &mut self.memory, guest: &mut self.guest, fuel: self.fuel };
        let answer = function(&mut call);
        self.fuel = call.fuel;
        match answer {
            Ok(()) => 0,
            Err(Fault::Errno(errno)) => errno as u16,
            Err(Fault::Stop(stop)) => panic!("{stop}"),
        }
    }

    fn store(&mut self, address: u32, bytes: &[u8]) {
        self.memory[address as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn load(&self, address: u32, len: u32) -> &[u8] {
        &self.memory[address as usize..][..len as usize]
    }

    fn answer(&self) -> u64 {
        u64::from_le_bytes(self.load(ANSWER, 8).try_into().unwrap())
    }

    fn open(&mut self, path: &str, oflags: u32, rights: u64, flags: u32) -> Result<u32, u16> {
        self.store(PATH, path.as_bytes());
        self.store(ANSWER, &[0; 8]);
        let len = path.len() as u32;
        match self.call(|c| c.path_open(OUT_FD, 0, PATH, len, oflags, rights, 0, flags, ANSWER)) {
            0 => Ok(self.answer() as u32),
            errno => Err(errno),
        }
    }

    fn create(&mut self, path: &str) -> u32 {
        self.open(path, abi::OPEN_CREATE, abi::RIGHT_FD_READ | abi::RIGHT_FD_WRITE, 0).unwrap()
    }

    /// Points the list of buffers at two halves of `len` bytes of data.
    fn list(&mut self, len: u32) {
        let half = len / 2;
        for (i, number) in [DATA, half, DATA + half, len - half].into_iter().enumerate() {
            self.store(LIST + 4 * i as u32, &number.to_le_bytes());
        }
    }

    fn write(&mut self, fd: u32, bytes: &[u8]) -> u16 {
        self.store(DATA, bytes);
        self.list(bytes.len() as u32);
        self.call(|c| c.fd_write(fd, LIST, 2, ANSWER))
    }

    fn content(&self) -> Vec<(String, Vec<u8>)> {
        self.guest.tree.outputs().into_iter().map(|(path, bytes)| (path, bytes.to_vec())).collect()
    }
}

#[test]
fn files_are_written_read_and_sought() {
    let mut bench = Bench::new();
    let fd = bench.create("f");
    assert_eq!(bench.write(fd, b"hello world"), 0);
    assert_eq!(bench.call(|c| c.fd_seek(fd, -5, abi::SEEK_END, ANSWER)), 0);
    assert_eq!(bench.answer(), 6);
    bench.list(100);
    assert_eq!(bench.call(|c| c.fd_read(fd, LIST, 2, ANSWER)), 0);
    assert_eq!((bench.answer() as u32, bench.load(DATA, 5)), (5, b"world".as_slice()));
    assert_eq!(bench.call(|c| c.fd_tell(fd, ANSWER)), 0);
    assert_eq!(bench.answer(), 11);
    bench.list(4);
    assert_eq!(bench.call(|c| c.fd_pread(fd, LIST, 2, 1, ANSWER)), 0);
    assert_eq!(bench.load(DATA, 4), b"ello");
    bench.store(DATA, b"J");
    bench.list(1);
    assert_eq!(bench.call(|c| c.fd_pwrite(fd, LIST, 2, 0, ANSWER)), 0);
    assert_eq!(bench.content(), [("f".to_string(), b"Jello world".to_vec())]);
    for (delta, whence) in [(-1, abi::SEEK_START), (i64::MIN, abi::SEEK_CURRENT), (i64::MAX, abi::SEEK_END), (0, 3)] {
        assert_eq!(bench.call(|c| c.fd_seek(fd, delta, whence, ANSWER)), Errno::Invalid as u16, "{delta} {whence}");
    }
}

#[test]
fn appending_and_cutting_do_as_they_say() {
    let mut bench = Bench::new();
    let fd = bench.create("f");
    bench.write(fd, b"12345");
    let log = bench.open("f", 0, abi::RIGHT_FD_WRITE, abi::FD_APPEND).unwrap();
    assert_eq!(bench.write(log, b"67"), 0);
    assert_eq!(bench.content()[0].1, b"1234567");
    assert_eq!(bench.call(|c| c.fd_filestat_set_size(fd, 2)), 0);
    assert_eq!(bench.call(|c| c.fd_allocate(fd, 2, 2)), 0);
    assert_eq!(bench.content()[0].1, b"12\0\0");
    bench.open("f", abi::OPEN_TRUNCATE, abi::RIGHT_FD_WRITE, 0).unwrap();
    assert_eq!(bench.content()[0].1, b"");
}

#[test]
fn what_was_not_asked_for_is_not_allowed() {
    let mut bench = Bench::new();
    bench.create("f");
    let reader = bench.open("f", 0, abi::RIGHT_FD_READ, 0).unwrap();
    assert_eq!(bench.write(reader, b"x"), Errno::BadFd as u16);
    let writer = bench.open("f", 0, abi::RIGHT_FD_WRITE, 0).unwrap();
    assert_eq!(bench.call(|c| c.fd_read(writer, LIST, 0, ANSWER)), Errno::BadFd as u16);
    assert_eq!(bench.call(|c| c.fd_fdstat_set_rights(writer, 0, 0)), 0);
    assert_eq!(bench.write(writer, b"x"), Errno::BadFd as u16, "rights that were given up are gone");
    let regain = bench.call(|c| c.fd_fdstat_set_rights(writer, abi::RIGHT_FD_WRITE, 0));
    assert_eq!(regain, Errno::NotCapable as u16);
    assert_eq!(bench.write(0, b"x"), Errno::BadFd as u16, "standard input is not written");
    assert_eq!(bench.write(OUT_FD, b"x"), Errno::IsFolder as u16);
}

#[test]
fn opening_says_what_is_wrong() {
    let mut bench = Bench::new();
    bench.create("f");
    let exclusive = abi::OPEN_CREATE | abi::OPEN_EXCLUSIVE;
    assert_eq!(bench.open("none", 0, 0, 0), Err(Errno::NoEntry as u16));
    assert_eq!(bench.open("f", exclusive, 0, 0), Err(Errno::Exists as u16));
    assert_eq!(bench.open("f", abi::OPEN_FOLDER, 0, 0), Err(Errno::NotFolder as u16));
    assert_eq!(bench.open("f/", 0, 0, 0), Err(Errno::NotFolder as u16));
    assert_eq!(bench.open("f/x", 0, 0, 0), Err(Errno::NotFolder as u16));
    assert_eq!(bench.open(".", 0, abi::RIGHT_FD_WRITE, 0), Err(Errno::IsFolder as u16));
    assert_eq!(bench.open("", 0, 0, 0), Err(Errno::NoEntry as u16));
    assert_eq!(bench.open("a\0b", 0, 0, 0), Err(Errno::IllegalText as u16));
    assert_eq!(bench.open("a\\b", abi::OPEN_CREATE, 0, 0), Err(Errno::Invalid as u16));
    assert_eq!(bench.open(&"n".repeat(256), abi::OPEN_CREATE, 0, 0), Err(Errno::NameTooLong as u16));
    bench.store(PATH, b"\xff");
    let open = bench.call(|c| c.path_open(OUT_FD, 0, PATH, 1, 0, 0, 0, 0, ANSWER));
    assert_eq!(open, Errno::IllegalText as u16);
}

#[test]
fn a_listing_is_read_in_pieces() {
    let mut bench = Bench::new();
    for name in ["one", "two", "three"] {
        bench.create(name);
    }
    let (mut names, mut cookie) = (Vec::new(), 0);
    for _ in 0..10 {
        assert_eq!(bench.call(|c| c.fd_readdir(OUT_FD, DATA, 40, cookie, ANSWER)), 0);
        let used = bench.answer() as u32;
        let entry = bench.load(DATA, used).to_vec();
        if entry.len() < abi::ENTRY_BYTES {
            break;
        }
        cookie = u64::from_le_bytes(entry[..8].try_into().unwrap());
        let len = u32::from_le_bytes(entry[16..20].try_into().unwrap()) as usize;
        names.push(String::from_utf8(entry[abi::ENTRY_BYTES..][..len].to_vec()).unwrap());
    }
    assert_eq!(names, [".", "..", "one", "two", "three"]);
}

#[test]
fn links_do_not_exist() {
    let mut bench = Bench::new();
    bench.create("f");
    bench.store(PATH, b"fg");
    let not_supported = Errno::NotSupported as u16;
    assert_eq!(bench.call(|c| c.path_symlink(PATH, 1, OUT_FD, PATH + 1, 1)), not_supported);
    assert_eq!(bench.call(|c| c.path_link(OUT_FD, 0, PATH, 1, OUT_FD, PATH + 1, 1)), not_supported);
    assert_eq!(bench.call(|c| c.path_readlink(OUT_FD, PATH, 1, DATA, 10, ANSWER)), Errno::Invalid as u16);
}

#[test]
fn closing_and_renumbering_release_files() {
    let mut bench = Bench::new();
    let (a, b) = (bench.create("a"), bench.create("b"));
    assert_eq!(bench.call(|c| c.fd_renumber(a, b)), 0);
    assert_eq!(bench.call(|c| c.fd_close(a)), Errno::BadFd as u16);
    assert_eq!(bench.write(b, b"x"), 0);
    assert_eq!(bench.content()[0], ("a".to_string(), b"x".to_vec()));
    assert_eq!(bench.call(|c| c.fd_close(b)), 0);
    for fd in 0..5 {
        assert_eq!(bench.call(|c| c.fd_close(fd)), 0, "even what was open from the start");
    }
    assert_eq!(bench.open("a", 0, 0, 0), Err(Errno::BadFd as u16));
}

#[test]
fn the_nearest_time_and_every_file_are_ready() {
    let mut bench = Bench::new();
    bench.store(DATA, &[0; 144]);
    for (i, (userdata, kind, nanos)) in
        [(7u64, 0u8, 5_000_000u64), (8, 0, 9_000_000), (9, 1, 0)].into_iter().enumerate()
    {
        let at = DATA + 48 * i as u32;
        bench.store(at, &userdata.to_le_bytes());
        bench.store(at + 8, &[kind]);
        bench.store(at + 16, &1u32.to_le_bytes());
        bench.store(at + 24, &nanos.to_le_bytes());
    }
    assert_eq!(bench.call(|c| c.poll_oneoff(DATA, 2048, 3, ANSWER)), 0);
    assert_eq!((bench.answer() as u32, bench.load(2048, 1)), (1, [9].as_slice()), "a file does not wait");
    assert_eq!(bench.call(|c| c.poll_oneoff(DATA, 2048, 2, ANSWER)), 0);
    assert_eq!((bench.answer() as u32, bench.load(2048, 1)), (1, [7].as_slice()));
    assert!(bench.guest.clock.monotonic() >= 5_000_000);
    assert_eq!(bench.call(|c| c.poll_oneoff(DATA, 2048, 0, ANSWER)), Errno::Invalid as u16);
}

#[test]
fn times_can_be_set_and_stay_zero() {
    let mut bench = Bench::new();
    let fd = bench.create("f");
    assert_eq!(bench.call(|c| c.fd_filestat_set_times(fd, 5, 5, 0b0101)), 0);
    assert_eq!(bench.call(|c| c.fd_filestat_set_times(fd, 5, 5, 0b0011)), Errno::Invalid as u16);
    assert_eq!(bench.call(|c| c.fd_filestat_get(fd, DATA)), 0);
    assert_eq!(bench.load(DATA + 40, 24), [0; 24]);
}

#[test]
fn fuel_is_taken_before_the_work() {
    let mut bench = Bench::new();
    bench.fuel = 99;
    let mut call = Call { memory: &mut bench.memory, guest: &mut bench.guest, fuel: bench.fuel };
    assert!(matches!(call.random_get(DATA, 100), Err(Fault::Stop(Stop::Fuel))));
    assert_eq!(call.fuel, 0);
    assert_eq!(bench.load(DATA, 100), [0; 100]);
}

#[test]
fn every_function_that_the_check_accepts_is_linked_with_its_signature() {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    link(&mut linker).unwrap();
    let imports: String = WASI_FUNCTIONS
        .iter()
        .map(|(name, params)| {
            let params: Vec<&str> = params.bytes().map(|b| if b == b'i' { "i32" } else { "i64" }).collect();
            let result = if *name == "proc_exit" { "" } else { "(result i32)" };
            format!("(import \"{WASI_MODULE}\" \"{name}\" (func (param {}) {result}))\n", params.join(" "))
        })
        .collect();
    let text = format!(r#"(module {imports} (memory (export "memory") 1) (func (export "_start")))"#);
    let bytes = wat::parse_str(text).unwrap();
    assert_eq!(compute::module::check(&bytes).unwrap().imports.len(), WASI_FUNCTIONS.len());
    let module = wasmtime::Module::from_binary(&engine, &bytes).unwrap();
    linker.instantiate_pre(&module).unwrap();
}
