//! WASI preview 1 over a tree in memory: the only thing that a guest can see.
//!
//! `link` names every function once; the functions themselves are methods of [`Call`], which holds the guest's memory,
//! its state and its fuel for the time of one call. Each call costs fuel, and so does each byte that it moves, so that
//! a guest cannot make the host work for nothing.
//!
//! Not there, on purpose: sockets, symbolic and hard links, file times (all are zero), rights of folders.
//! Source: WASI preview 1, `wasi_snapshot_preview1.witx`.

mod abi;
mod clock;
mod descriptors;
mod files;
mod memory;
mod paths;
mod process;
mod tree;

pub(crate) use clock::{Clock, Random};
pub(crate) use descriptors::Descriptors;
pub(crate) use tree::Tree;

use crate::guest::{Guest, Stop};
use abi::Errno;
use compute::module::WASI_MODULE;
use wasmtime::{Caller, Extern, Linker};

/// Fuel of every call.
const CALL_FUEL: u64 = 200;

/// How a call ends other than well: with an error number for the guest, or with the end of the guest.
pub(crate) enum Fault {
    Errno(Errno),
    Stop(Stop),
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Result of a WASI function.
type Answer<T = ()> = Result<T, Fault>;

/// One call of a guest.
struct Call<'a> {
    memory: &'a mut [u8],
    guest: &'a mut Guest,
    fuel: u64,
}

impl Call<'_> {
    /// Takes fuel for `bytes` that are about to be moved.
    fn charge(&mut self, bytes: u64) -> Answer {
        match self.fuel.checked_sub(bytes) {
            Some(left) => {
                self.fuel = left;
                Ok(())
            }
            None => {
                self.fuel = 0;
                Err(Stop::Fuel.into())
            }
        }
    }
}

/// Runs one function: charges it, lends it the memory, and turns its answer into an error number or an end.
fn enter(caller: &mut Caller<'_, Guest>, function: impl FnOnce(&mut Call<'_>) -> Answer) -> wasmtime::Result<u32> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(Stop::Trap("no memory is exported").into());
    };
    let fuel = caller.get_fuel()?;
    let (memory, guest) = memory.data_and_store_mut(&mut *caller);
    let mut call = Call { memory, guest, fuel };
    let answer = call.charge(CALL_FUEL).and_then(|()| function(&mut call));
    let fuel = call.fuel;
    caller.set_fuel(fuel)?;
    match answer {
        Ok(()) => Ok(0),
        Err(Fault::Errno(errno)) => Ok(errno as u32),
        Err(Fault::Stop(stop)) => Err(stop.into()),
    }
}

/// Links each named method of [`Call`] under its own name.
macro_rules! functions {
    ($linker:ident; $($name:ident($($arg:ident: $kind:ty),*);)*) => {
        $($linker.func_wrap(WASI_MODULE, stringify!($name), |mut caller: Caller<'_, Guest>, $($arg: $kind),*| {
            enter(&mut caller, |call| call.$name($($arg),*))
        })?;)*
    };
}

/// Makes all functions known to `linker`.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    functions! { linker;
        args_get(list: u32, text: u32);
        args_sizes_get(count: u32, bytes: u32);
        clock_res_get(id: u32, out: u32);
        clock_time_get(id: u32, precision: u64, out: u32);
        environ_get(list: u32, text: u32);
        environ_sizes_get(count: u32, bytes: u32);
        fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
        fd_allocate(fd: u32, offset: u64, len: u64);
        fd_close(fd: u32);
        fd_datasync(fd: u32);
        fd_fdstat_get(fd: u32, out: u32);
        fd_fdstat_set_flags(fd: u32, flags: u32);
        fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64);
        fd_filestat_get(fd: u32, out: u32);
        fd_filestat_set_size(fd: u32, size: u64);
        fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32);
        fd_pread(fd: u32, list: u32, count: u32, offset: u64, out: u32);
        fd_prestat_dir_name(fd: u32, path: u32, len: u32);
        fd_prestat_get(fd: u32, out: u32);
        fd_pwrite(fd: u32, list: u32, count: u32, offset: u64, out: u32);
        fd_read(fd: u32, list: u32, count: u32, out: u32);
        fd_readdir(fd: u32, buffer: u32, len: u32, cookie: u64, out: u32);
        fd_renumber(from: u32, to: u32);
        fd_seek(fd: u32, delta: i64, whence: u32, out: u32);
        fd_sync(fd: u32);
        fd_tell(fd: u32, out: u32);
        fd_write(fd: u32, list: u32, count: u32, out: u32);
        path_create_directory(fd: u32, path: u32, len: u32);
        path_filestat_get(fd: u32, flags: u32, path: u32, len: u32, out: u32);
        path_filestat_set_times(fd: u32, flags: u32, path: u32, len: u32, accessed: u64, modified: u64, which: u32);
        path_link(fd: u32, flags: u32, path: u32, len: u32, to_fd: u32, to: u32, to_len: u32);
        path_open(fd: u32, lookup: u32, path: u32, len: u32, oflags: u32, rights: u64, inheriting: u64, flags: u32, out: u32);
        path_readlink(fd: u32, path: u32, len: u32, buffer: u32, buffer_len: u32, out: u32);
        path_remove_directory(fd: u32, path: u32, len: u32);
        path_rename(fd: u32, path: u32, len: u32, to_fd: u32, to: u32, to_len: u32);
        path_symlink(target: u32, target_len: u32, fd: u32, path: u32, len: u32);
        path_unlink_file(fd: u32, path: u32, len: u32);
        poll_oneoff(subscriptions: u32, events: u32, count: u32, out: u32);
        proc_raise(signal: u32);
        random_get(buffer: u32, len: u32);
        sched_yield();
    }
    linker.func_wrap(WASI_MODULE, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        Err(Stop::Exit(code.cast_signed()).into())
    })?;
    Ok(())
}

#[cfg(test)]
mod tests;
