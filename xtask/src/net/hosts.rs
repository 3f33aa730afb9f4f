//! Hosts on this machine: network namespaces with addresses of their own, connected by the [`Switch`].
//!
//! ```text
//!  this process ── br0 10.77.0.254 ──┬── eth0 10.77.0.1 [ vx0 10.78.0.1  node ]
//!        │ switch: 4789 of UDP       ├── eth0 10.77.0.2 [ vx0 10.78.0.2  node ]
//!        └───────────────────────────┴── …
//! ```
//!
//! Nodes know each other by the addresses of `vx0`, whose packets go through the switch. The harness asks them for the same
//! addresses by way of `eth0`, which is always well: so it sees both sides of a partition. All of it is inside namespaces of the
//! harness's own process, and gone when that ends, however it ends.

use super::frame::ADDRESS_PREFIX;
use super::switch::{Switch, VXLAN_PORT, wire_address};
use crate::process::run;
use eyre::{Result, WrapErr as _};
use std::net::Ipv4Addr;
use std::process::Command;

/// This end of all wires.
const HUB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);
/// Bytes of a packet that fit into a datagram on a wire of 1,500 bytes, with the headers of VXLAN.
const MTU: &str = "1400";

/// Address by which other nodes know a host.
pub fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, 0, host)
}

/// A command that runs on a host.
pub fn on(host: u8) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", name(host))).arg("--");
    command
}

/// Makes hosts 1 to `count` and the switch between them.
///
/// # Errors
/// When the kernel cannot, or a program is absent.
pub fn build(count: u8) -> Result<Switch> {
    // Names of namespaces are kept here; the machine's own are not seen any more, and not touched.
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]))?;
    ip("link set lo up")?;
    ip("link add br0 type bridge")?;
    ip(&format!("addr add {HUB}/24 dev br0"))?;
    ip("link set br0 up")?;
    (1..=count).try_for_each(host)?;
    Switch::start(HUB, (1..=count).collect())
}

fn name(host: u8) -> String {
    format!("kumo-{host}")
}

fn host(number: u8) -> Result<()> {
    let (name, wire, address) = (name(number), wire_address(number), address(number));
    let [a, b, c, d, e] = ADDRESS_PREFIX;
    ip(&format!("netns add {name}"))?;
    ip(&format!("link add wire{number} type veth peer name eth0 netns {name}"))?;
    ip(&format!("link set wire{number} master br0 up"))?;
    ip(&format!("-n {name} link set lo up"))?;
    ip(&format!("-n {name} addr add {wire}/24 dev eth0"))?;
    ip(&format!("-n {name} link set eth0 up"))?;
    ip(&format!(
        "-n {name} link add vx0 address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{number:02x} type vxlan id 7 remote {HUB} dstport {VXLAN_PORT} dev eth0"
    ))
    .wrap_err("the kernel must have VXLAN (module vxlan)")?;
    ip(&format!("-n {name} addr add {address}/24 dev vx0"))?;
    // One packet at a time, as the switch sees what leaves the device, and large ones would be cut up behind it.
    ip(&format!("-n {name} link set vx0 mtu {MTU} gso_max_segs 1 up"))?;
    ip(&format!("route add {address}/32 via {wire}"))
}

fn ip(words: &str) -> Result<()> {
    run(Command::new("ip").args(words.split(' ')))
}
