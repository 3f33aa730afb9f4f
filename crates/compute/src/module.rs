//! Look at a WebAssembly module before anything is compiled or paid for.
//!
//! A module may import functions of `wasi_snapshot_preview1` only, and none of its sockets; it must export `_start` and
//! its memory. Features whose results differ between machines (threads, relaxed SIMD) are refused by validation.

use wasmparser::{Chunk, Encoding, ExternalKind, FuncType, Parser, Payload, TypeRef, ValType, Validator, WasmFeatures};

/// Largest module, in bytes.
pub const MODULE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of a page of linear memory.
const PAGE_BYTES: u64 = 65_536;
/// The only module that a guest may import from.
pub const WASI_MODULE: &str = "wasi_snapshot_preview1";

/// WebAssembly features that a guest may use: everything here gives the same result on every machine.
pub const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::FLOATS);

/// Functions of WASI preview 1 that exist here, sorted, with their parameters: `i` for i32, `I` for i64. Each returns an
/// i32 error number, but for `proc_exit`, which does not return.
pub const WASI_FUNCTIONS: [(&str, &str); 42] = [
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_prestat_get", "ii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_exit", "i"),
    ("proc_raise", "i"),
    ("random_get", "ii"),
    ("sched_yield", ""),
];

/// What a look at a module tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFacts {
    /// Its size in bytes.
    pub bytes: usize,
    /// Functions with code.
    pub functions: u32,
    /// WASI functions that it imports, in order of appearance.
    pub imports: Vec<String>,
    /// Linear memory that it begins with, in bytes.
    pub memory_bytes_min: u64,
}

/// Why a module is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// Another file altogether.
    #[error("not a WebAssembly module: it begins with {begins}, a module begins with 00 61 73 6d (\"\\0asm\")")]
    NotWasm {
        /// Its first bytes in hex, or `nothing`.
        begins: String,
    },
    /// WebAssembly, but a component.
    #[error("file is a WebAssembly component, expected a core module for wasm32-wasip1")]
    Component,
    /// Larger than [`MODULE_BYTES_MAX`].
    #[error("module has {bytes} bytes, over the limit of {MODULE_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It would need a socket.
    #[error("module asks for the network ({WASI_MODULE}.{function}), which tasks do not have")]
    Network {
        /// The import.
        function: String,
    },
    /// It imports what does not exist here.
    #[error("module imports {module}.{name}, but only functions of {WASI_MODULE} exist here")]
    Import {
        /// Where it imports from.
        module: String,
        /// What.
        name: String,
    },
    /// It imports a WASI function with other parameters or results.
    #[error("module imports {WASI_MODULE}.{function} with a wrong signature")]
    Signature {
        /// The import.
        function: String,
    },
    /// It does not export something that it must.
    #[error("module does not export {what}; build it as a command for wasm32-wasip1")]
    NoExport {
        /// The function `_start` or the memory.
        what: &'static str,
    },
    /// Malformed, or it uses a feature that is off.
    #[error("module is not valid at byte {offset}: {reason}")]
    Invalid {
        /// Position in the file.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
}

/// Looks at a module without compiling it: magic, size, imports, exports, validity.
pub fn check(bytes: &[u8]) -> Result<ModuleFacts, ModuleError> {
    check_header(bytes)?;
    let facts = survey(bytes)?;
    Validator::new_with_features(FEATURES).validate_all(bytes).map_err(invalid)?;
    Ok(facts)
}

fn check_header(bytes: &[u8]) -> Result<(), ModuleError> {
    if !bytes.starts_with(b"\0asm") {
        let hex: Vec<String> = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
        let begins = if hex.is_empty() { "nothing".into() } else { hex.join(" ") };
        return Err(ModuleError::NotWasm { begins });
    }
    if bytes.len() > MODULE_BYTES_MAX {
        return Err(ModuleError::TooLarge { bytes: bytes.len() });
    }
    match Parser::new(0).parse(bytes, true).map_err(invalid)? {
        Chunk::Parsed { payload: Payload::Version { encoding: Encoding::Component, .. }, .. } => {
            Err(ModuleError::Component)
        }
        _ => Ok(()),
    }
}

/// Imports and exports first: "asks for the network" says more than what validation would.
fn survey(bytes: &[u8]) -> Result<ModuleFacts, ModuleError> {
    let mut survey = Survey::default();
    for payload in Parser::new(0).parse_all(bytes) {
        survey.take(payload.map_err(invalid)?)?;
    }
    if !survey.start {
        return Err(ModuleError::NoExport { what: "the function _start without parameters and results" });
    }
    if !survey.memory {
        return Err(ModuleError::NoExport { what: "its memory as \"memory\"" });
    }
    let Survey { functions, imports, memory_bytes_min, .. } = survey;
    Ok(ModuleFacts { bytes: bytes.len(), functions, imports, memory_bytes_min })
}

/// What the sections seen so far say.
#[derive(Default)]
struct Survey {
    types: Vec<FuncType>,
    /// Type index of every function, imported ones first.
    function_types: Vec<u32>,
    functions: u32,
    imports: Vec<String>,
    memory_bytes_min: u64,
    start: bool,
    memory: bool,
}

impl Survey {
    fn take(&mut self, payload: Payload<'_>) -> Result<(), ModuleError> {
        match payload {
            Payload::TypeSection(section) => {
                for kind in section.into_iter_err_on_gc_types() {
                    self.types.push(kind.map_err(invalid)?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(invalid)?;
                    self.import(import.module, import.name, import.ty)?;
                }
            }
            Payload::FunctionSection(section) => {
                for kind in section {
                    self.function_types.push(kind.map_err(invalid)?);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let bytes = memory.map_err(invalid)?.initial.saturating_mul(PAGE_BYTES);
                    self.memory_bytes_min = self.memory_bytes_min.saturating_add(bytes);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(invalid)?;
                    self.start |=
                        export.name == "_start" && export.kind == ExternalKind::Func && self.is_start(export.index);
                    self.memory |= export.name == "memory" && export.kind == ExternalKind::Memory;
                }
            }
            Payload::CodeSectionStart { count, .. } => self.functions = count,
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, module: &str, name: &str, kind: TypeRef) -> Result<(), ModuleError> {
        if module == WASI_MODULE && name.starts_with("sock_") {
            return Err(ModuleError::Network { function: name.into() });
        }
        let unknown = || ModuleError::Import { module: module.into(), name: name.into() };
        let (true, TypeRef::Func(index)) = (module == WASI_MODULE, kind) else { return Err(unknown()) };
        let known = WASI_FUNCTIONS.binary_search_by_key(&name, |(known, _)| known).map_err(|_| unknown())?;
        let (_, params) = WASI_FUNCTIONS[known];
        let results: &[ValType] = if name == "proc_exit" { &[] } else { &[ValType::I32] };
        let wanted = params.bytes().map(|b| if b == b'i' { ValType::I32 } else { ValType::I64 });
        let fits = |kind: &FuncType| kind.params().iter().copied().eq(wanted) && kind.results() == results;
        if !self.types.get(index as usize).is_some_and(fits) {
            return Err(ModuleError::Signature { function: name.into() });
        }
        self.function_types.push(index);
        self.imports.push(name.into());
        Ok(())
    }

    fn is_start(&self, function: u32) -> bool {
        let kind = self.function_types.get(function as usize).and_then(|kind| self.types.get(*kind as usize));
        kind.is_some_and(|kind| kind.params().is_empty() && kind.results().is_empty())
    }
}

fn invalid(error: wasmparser::BinaryReaderError) -> ModuleError {
    ModuleError::Invalid { offset: error.offset() as u64, reason: error.message().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: &str = r#"(memory (export "memory") 2) (func (export "_start"))"#;

    fn module(fields: &str) -> Vec<u8> {
        wat::parse_str(format!("(module {fields})")).unwrap()
    }

    #[test]
    fn a_command_is_accepted_with_its_facts() {
        let import = r#"(import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))"#;
        let bytes = module(&format!("{import} {COMMAND}"));
        let facts = check(&bytes).unwrap();
        assert_eq!(facts.imports, ["proc_exit"]);
        assert_eq!((facts.functions, facts.memory_bytes_min), (1, 131_072));
        assert_eq!(facts.bytes, bytes.len());
    }

    #[test]
    fn other_files_are_refused_with_their_first_bytes() {
        let begins = |bytes: &[u8]| check(bytes).unwrap_err().to_string();
        assert!(begins(b"#!/bin/sh").contains("begins with 23 21 2f 62"));
        assert!(begins(b"").contains("begins with nothing"));
        assert!(begins(b"\x7fELF\x02").contains("begins with 7f 45 4c 46"));
    }

    #[test]
    fn a_component_is_told_apart() {
        assert_eq!(check(b"\0asm\x0d\0\x01\0"), Err(ModuleError::Component));
    }

    #[test]
    fn sockets_are_the_network() {
        let bytes = module(&format!(r#"(import "wasi_snapshot_preview1" "sock_send" (func)) {COMMAND}"#));
        let error = check(&bytes).unwrap_err();
        assert_eq!(error, ModuleError::Network { function: "sock_send".into() });
        assert!(error.to_string().starts_with("module asks for the network (wasi_snapshot_preview1.sock_send)"));
    }

    #[test]
    fn foreign_imports_are_named() {
        for import in [
            r#"(import "env" "fetch" (func))"#,
            r#"(import "wasi_snapshot_preview1" "fly" (func))"#,
            r#"(import "wasi_snapshot_preview1" "fd_write" (global i32))"#,
            r#"(import "wasi_unstable" "fd_close" (func (param i32) (result i32)))"#,
        ] {
            assert!(matches!(check(&module(&format!("{import} {COMMAND}"))), Err(ModuleError::Import { .. })));
        }
    }

    #[test]
    fn a_wrong_signature_is_named() {
        let import = r#"(import "wasi_snapshot_preview1" "fd_close" (func (param i64) (result i32)))"#;
        let error = check(&module(&format!("{import} {COMMAND}"))).unwrap_err();
        assert_eq!(error, ModuleError::Signature { function: "fd_close".into() });
    }

    #[test]
    fn missing_exports_are_named() {
        let no_start = ModuleError::NoExport { what: "the function _start without parameters and results" };
        assert_eq!(check(&module("")), Err(no_start.clone()));
        let wrong = r#"(memory (export "memory") 1) (func (export "_start") (param i32))"#;
        assert_eq!(check(&module(wrong)), Err(no_start));
        let no_memory = module(r#"(func (export "_start"))"#);
        assert_eq!(check(&no_memory), Err(ModuleError::NoExport { what: "its memory as \"memory\"" }));
    }

    #[test]
    fn machine_dependent_features_are_refused() {
        for body in [
            "(func (drop (f32x4.relaxed_madd (v128.const i64x2 0 0) (v128.const i64x2 0 0) (v128.const i64x2 0 0))))",
            "(func (drop (i32.atomic.load (i32.const 0))))",
        ] {
            assert!(matches!(check(&module(&format!("{COMMAND} {body}"))), Err(ModuleError::Invalid { .. })), "{body}");
        }
    }

    #[test]
    fn any_damage_gives_an_error_or_facts_never_a_panic() {
        let bytes = module(COMMAND);
        for cut in 0..bytes.len() {
            let _ = check(&bytes[..cut]);
            let mut changed = bytes.clone();
            changed[cut] ^= 0xff;
            let _ = check(&changed);
        }
    }

    #[test]
    fn functions_are_sorted_for_the_search() {
        assert!(WASI_FUNCTIONS.is_sorted_by_key(|(name, _)| name));
    }
}
