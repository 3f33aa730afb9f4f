//! `cargo xtask guests`: build the example guests for wasm32-wasip1 and write them with their digests; `--check`
//! compares instead of writing.
//!
//! A build needs a standard library for wasm32-wasip1. Either of two is used, in this order:
//!
//! 1. `KUMO_WASM_RUSTC`: path of a rustc whose sources of the standard library are installed with it. The library is
//!    built on the way (`-Zbuild-std`). `KUMO_WASM_LD` is a `wasm-ld`, and `KUMO_WASI_LIBC` the folder with the
//!    `crt1-command.o` and `libc.a` of wasi-libc. On Debian 12 these are the packages rustc-web, libstd-rust-web-dev,
//!    libstd-rust-web-1.96, rust-web-src, lld-22, libllvm22 and wasi-libc, extracted anywhere with `dpkg -x`.
//! 2. The target wasm32-wasip1 of rustup (`rustup target add wasm32-wasip1`).
//!
//! Where neither is present only the committed digest is verified, and the output says so.
//!
//! A build is reproducible: one code generation unit, link-time optimisation, no debug information, and paths remapped
//! (`--remap-path-prefix`), so that the module depends on the compiler, its library and the sources alone. The compiler
//! is written next to the module; with another one the digests are expected to differ, so `--check` then only shows
//! that the guest still builds.

use eyre::{Context, Result, bail, ensure, eyre};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders below `examples/` that hold a guest; the package and its module have the same name.
const GUESTS: [&str; 1] = ["digits"];
/// What the guests are built for.
const TARGET: &str = "wasm32-wasip1";

/// Builds every guest and writes it, or with `check` compares it with the committed one.
///
/// # Errors
/// When a module does not have its committed digest, a build fails, or (with `check`) the committed compiler builds
/// another module; the message names the file and both digests.
pub fn run(check: bool) -> Result<()> {
    let toolchain = Toolchain::find()?;
    for name in GUESTS {
        let guest = Guest::at(name);
        if check || toolchain.is_none() {
            guest.verify_digest()?;
        }
        match &toolchain {
            None => println!("{name}: digest verified; not rebuilt, no standard library for {TARGET} here"),
            Some(toolchain) if check => guest.compare(toolchain)?,
            Some(toolchain) => guest.write(toolchain)?,
        }
    }
    Ok(())
}

/// A compiler with a standard library for the target.
enum Toolchain {
    /// The standard library is built from the compiler's own sources.
    Source { rustc: PathBuf, linker: PathBuf, libc: PathBuf },
    /// The standard library is installed.
    Installed,
}

impl Toolchain {
    fn find() -> Result<Option<Self>> {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
        if let Some(rustc) = path("KUMO_WASM_RUSTC") {
            let needed = |name| path(name).ok_or(eyre!("KUMO_WASM_RUSTC is set, so {name} must be set too"));
            return Ok(Some(Self::Source { rustc, linker: needed("KUMO_WASM_LD")?, libc: needed("KUMO_WASI_LIBC")? }));
        }
        let libraries = sysroot(Path::new("rustc"))?.join("lib/rustlib").join(TARGET).join("lib");
        Ok(libraries.is_dir().then_some(Self::Installed))
    }

    fn rustc(&self) -> &Path {
        match self {
            Self::Source { rustc, .. } => rustc,
            Self::Installed => Path::new("rustc"),
        }
    }

    /// First line of `rustc --version`, and how the standard library was made.
    fn description(&self) -> Result<String> {
        let library = match self {
            Self::Source { .. } => "standard library built from source",
            Self::Installed => "standard library installed",
        };
        Ok(format!("{}, {library}\n", output(Command::new(self.rustc()).arg("--version"))?))
    }

    /// Builds the guest in `folder` and returns the module.
    fn build(&self, folder: &Path, name: &str) -> Result<Vec<u8>> {
        let target = folder.join("target");
        let mut flags = vec![format!("--remap-path-prefix={}=/guest", folder.display())];
        let mut cargo = Command::new("cargo");
        cargo.current_dir(folder).env("CARGO_TARGET_DIR", &target).env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo.args(["build", "--release", "--locked", "--target", TARGET]);
        let library = sysroot(self.rustc())?.join("lib/rustlib/src/rust");
        for path in [fs::canonicalize(&library).ok(), Some(library)].into_iter().flatten() {
            flags.push(format!("--remap-path-prefix={}=/rust", path.display()));
        }
        if let Self::Source { rustc, linker, libc } = self {
            cargo.args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
            cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
            flags.extend([
                format!("-Clinker={}", linker.display()),
                "-Clinker-flavor=wasm-ld".into(),
                "-Clink-self-contained=no".into(),
                format!("-Lnative={}", libc.display()),
                format!("-Clink-arg={}", libc.join("crt1-command.o").display()),
            ]);
        }
        cargo.env("RUSTFLAGS", flags.join(" "));
        ensure!(cargo.status().wrap_err("cannot start cargo")?.success(), "{name}: the guest does not build");
        read(&target.join(TARGET).join("release").join(format!("{name}.wasm")))
    }
}

/// A guest and its committed files.
struct Guest {
    name: &'static str,
    folder: PathBuf,
}

impl Guest {
    fn at(name: &'static str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies below the root");
        Self { name, folder: root.join("examples").join(name) }
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}.wasm{suffix}", self.name))
    }

    /// The committed module must have the committed digest.
    fn verify_digest(&self) -> Result<()> {
        let committed = String::from_utf8(read(&self.file(".sha256"))?).wrap_err("digest is not text")?;
        let found = self.digest_line(&read(&self.file(""))?);
        ensure!(committed == found, "{}: committed digest {committed:?}, module has {found:?}", self.name);
        Ok(())
    }

    fn compare(&self, toolchain: &Toolchain) -> Result<()> {
        let (built, committed) = (toolchain.build(&self.folder, self.name)?, read(&self.file(""))?);
        let (mine, theirs) = (toolchain.description()?, read(&self.file(".toolchain"))?);
        if built == committed {
            println!("{}: rebuilt, the same bytes as committed", self.name);
        } else if mine.as_bytes() != theirs {
            let theirs = String::from_utf8_lossy(&theirs);
            println!("{}: builds; not compared, committed by {} and not by {}", self.name, theirs.trim(), mine.trim());
        } else {
            let lines = (self.digest_line(&committed), self.digest_line(&built));
            bail!("{}: committed module is {:?}, its sources build {:?}", self.name, lines.0, lines.1);
        }
        Ok(())
    }

    fn write(&self, toolchain: &Toolchain) -> Result<()> {
        let built = toolchain.build(&self.folder, self.name)?;
        write(&self.file(""), &built)?;
        write(&self.file(".sha256"), self.digest_line(&built).as_bytes())?;
        write(&self.file(".toolchain"), toolchain.description()?.as_bytes())?;
        println!("{}: {} bytes written", self.name, built.len());
        Ok(())
    }

    /// As `sha256sum` writes it.
    fn digest_line(&self, module: &[u8]) -> String {
        format!("{}  {}.wasm\n", hex::encode(Sha256::digest(module)), self.name)
    }
}

fn sysroot(rustc: &Path) -> Result<PathBuf> {
    output(Command::new(rustc).args(["--print", "sysroot"])).map(PathBuf::from)
}

fn output(command: &mut Command) -> Result<String> {
    let result = command.output().wrap_err_with(|| format!("cannot start {command:?}"))?;
    ensure!(result.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&result.stderr));
    Ok(String::from_utf8(result.stdout).wrap_err("output is not text")?.trim().into())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).wrap_err_with(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).wrap_err_with(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_committed_module_has_its_committed_digest() {
        for name in GUESTS {
            Guest::at(name).verify_digest().unwrap();
        }
    }

    #[test]
    fn the_digest_line_is_what_sha256sum_writes() {
        let line = Guest::at("digits").digest_line(b"");
        assert_eq!(line, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  digits.wasm\n");
    }
}
