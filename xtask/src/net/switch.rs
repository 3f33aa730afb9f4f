//! A switch between hosts, in user space: packets that arrive late, never, or not at all.
//!
//! The kernel's own way (`netem`) is not in every kernel. Each host has a VXLAN device whose other end is this switch, so
//! whole packets pass here, and TCP reacts to their loss and delay as it does to that of a real network. Loss is drawn from a fixed
//! seed. Every queue has a maximum, beyond which packets are dropped as a real switch does.

use super::frame::{self, Destination};
use eyre::{Context, Result};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Port of VXLAN.
pub const VXLAN_PORT: u16 = 4789;
/// Packets that wait at most.
const WAITING_MAX: usize = 65_536;
/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// How often the threads look whether they should end.
const POLL: Duration = Duration::from_millis(100);

/// What happens to packets between hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// How late every packet arrives.
    pub delay: Duration,
    /// How many of a thousand packets do not arrive.
    pub loss_per_mille: u64,
    /// Side of each host; hosts on different sides do not reach each other. Who is not named is on side 0.
    pub sides: BTreeMap<u8, u8>,
}

impl Weather {
    /// Whether packets pass between two hosts.
    fn passes(&self, from: u8, to: u8) -> bool {
        let side = |host| self.sides.get(&host).copied().unwrap_or(0);
        side(from) == side(to)
    }
}

/// What the switch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that were passed on.
    pub passed: u64,
    /// Packets lost by chance.
    pub lost: u64,
    /// Packets between sides.
    pub cut: u64,
}

/// A packet on its way, ordered by when it is due.
type Waiting = Reverse<(Instant, u64, u8, Vec<u8>)>;

struct Inner {
    socket: UdpSocket,
    hosts: Vec<u8>,
    weather: Mutex<Weather>,
    waiting: Mutex<BinaryHeap<Waiting>>,
    arrived: Condvar,
    is_stopped: AtomicBool,
    passed: AtomicU64,
    lost: AtomicU64,
    cut: AtomicU64,
}

/// A running switch; stops when dropped.
pub struct Switch {
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

/// Address of a host's end of the wire to the switch.
pub fn wire_address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, host)
}

/// Nothing is half done under these locks, so a panic elsewhere does not spoil what they guard.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Switch {
    /// Begins to pass packets between `hosts`, listening at `address`.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn start(address: Ipv4Addr, hosts: Vec<u8>) -> Result<Self> {
        let socket = UdpSocket::bind((address, VXLAN_PORT)).wrap_err_with(|| format!("the switch needs {address}"))?;
        socket.set_read_timeout(Some(POLL))?;
        let inner = Arc::new(Inner {
            socket,
            hosts,
            weather: Mutex::default(),
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            is_stopped: AtomicBool::new(false),
            passed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            cut: AtomicU64::new(0),
        });
        let (receiver, sender) = (inner.clone(), inner.clone());
        let threads = vec![std::thread::spawn(move || receiver.receive()), std::thread::spawn(move || sender.send())];
        Ok(Self { inner, threads })
    }

    /// Changes the weather for packets that arrive from now on.
    pub fn set(&self, weather: Weather) {
        *lock(&self.inner.weather) = weather;
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { passed: read(&self.inner.passed), lost: read(&self.inner.lost), cut: read(&self.inner.cut) }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.inner.is_stopped.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl Inner {
    fn is_running(&self) -> bool {
        !self.is_stopped.load(Ordering::Relaxed)
    }

    fn receive(&self) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let (mut number, mut random) = (0, 0x6b75_6d6f);
        while self.is_running() {
            // Nothing arrived within the poll, or the system has no memory: look again.
            let Ok((length, _)) = self.socket.recv_from(&mut buffer) else { continue };
            let datagram = &mut buffer[..length];
            let Some((from, destination)) = frame::hosts(datagram) else { continue };
            frame::complete(datagram);
            let weather = lock(&self.weather).clone();
            for to in self.hosts.iter().copied().filter(|host| reaches(destination, from, *host)) {
                number += 1;
                match fate(&weather, from, to, &mut random) {
                    Fate::Cut => self.cut.fetch_add(1, Ordering::Relaxed),
                    Fate::Lost => self.lost.fetch_add(1, Ordering::Relaxed),
                    Fate::Passed => self.queue(weather.delay, number, to, datagram),
                };
            }
        }
    }

    /// Puts a packet behind those that are due earlier; returns how many were passed before.
    fn queue(&self, delay: Duration, number: u64, to: u8, datagram: &[u8]) -> u64 {
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= WAITING_MAX {
            return self.lost.fetch_add(1, Ordering::Relaxed);
        }
        waiting.push(Reverse((Instant::now() + delay, number, to, datagram.to_vec())));
        self.arrived.notify_one();
        self.passed.fetch_add(1, Ordering::Relaxed)
    }

    fn send(&self) {
        let mut waiting = lock(&self.waiting);
        while self.is_running() {
            let now = Instant::now();
            let until = waiting.peek().map(|Reverse((due, ..))| due.saturating_duration_since(now));
            match until {
                Some(Duration::ZERO) => {
                    let packet = waiting.pop();
                    drop(waiting);
                    if let Some(Reverse((_, _, to, datagram))) = packet {
                        let to = SocketAddr::new(IpAddr::V4(wire_address(to)), VXLAN_PORT);
                        // A host that is gone loses its packets, as it would on a wire.
                        let _ = self.socket.send_to(&datagram, to);
                    }
                    waiting = lock(&self.waiting);
                }
                until => {
                    let wait = until.unwrap_or(POLL).min(POLL);
                    let waited = self.arrived.wait_timeout(waiting, wait);
                    waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
}

fn reaches(destination: Destination, from: u8, host: u8) -> bool {
    match destination {
        Destination::Host(to) => to == host,
        Destination::All => host != from,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Passed,
    Lost,
    Cut,
}

fn fate(weather: &Weather, from: u8, to: u8, random: &mut u64) -> Fate {
    match () {
        () if !weather.passes(from, to) => Fate::Cut,
        () if weather.loss_per_mille > 0 && next(random) % 1000 < weather.loss_per_mille => Fate::Lost,
        () => Fate::Passed,
    }
}

/// The next number of a sequence. Source: Steele, Lea and Flood, Fast splittable pseudorandom number generators (2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_do_not_reach_each_other_and_who_is_not_named_is_on_side_0() {
        let weather = Weather { sides: BTreeMap::from([(1, 1), (2, 1)]), ..Weather::default() };
        let mut random = 0;
        assert_eq!(fate(&weather, 1, 2, &mut random), Fate::Passed);
        assert_eq!(fate(&weather, 3, 4, &mut random), Fate::Passed);
        assert_eq!(fate(&weather, 1, 3, &mut random), Fate::Cut);
        assert_eq!(random, 0, "without loss no number is drawn");
    }

    #[test]
    fn about_as_many_packets_are_lost_as_was_asked_for() {
        let lost = |loss_per_mille| {
            let weather = Weather { loss_per_mille, ..Weather::default() };
            let mut random = 1;
            (0..10_000).filter(|_| fate(&weather, 1, 2, &mut random) == Fate::Lost).count()
        };
        assert_eq!((lost(0), lost(1000)), (0, 10_000));
        assert!((400..600).contains(&lost(50)), "{}", lost(50));
    }

    #[test]
    fn a_frame_for_all_reaches_everybody_but_its_sender() {
        assert!(reaches(Destination::All, 1, 2) && !reaches(Destination::All, 1, 1));
        assert!(reaches(Destination::Host(2), 1, 2) && !reaches(Destination::Host(2), 1, 3));
    }
}
