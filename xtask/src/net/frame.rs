//! What the switch must know of a frame inside VXLAN (RFC 7348): who sent it, to whom, and its checksum.
//!
//! A kernel leaves the checksums of TCP and UDP to the device that sends, and between namespaces of one machine no device ever
//! computes them. Outside of the kernel they must be right, so the switch computes them (RFC 1071, RFC 9293 section 3.1).

/// Header of VXLAN before the frame.
const VXLAN_BYTES: usize = 8;
/// Header of Ethernet.
const ETHERNET_BYTES: usize = 14;
const IP_AT: usize = VXLAN_BYTES + ETHERNET_BYTES;
const IP_BYTES_MIN: usize = 20;
/// The addresses of the hosts begin with these bytes and end with the host's number.
pub const ADDRESS_PREFIX: [u8; 5] = [0x02, 0x6b, 0x75, 0x6d, 0x6f];

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// One host.
    Host(u8),
    /// All others.
    All,
}

/// Hosts of a datagram: sender and destination; `None` if it is no frame between hosts.
pub fn hosts(datagram: &[u8]) -> Option<(u8, Destination)> {
    let frame = datagram.get(VXLAN_BYTES..)?;
    let (to, from) = (frame.get(..6)?, frame.get(6..12)?);
    let number = |address: &[u8]| address.strip_prefix(&ADDRESS_PREFIX).map(|rest| rest[0]);
    // The lowest bit of the first byte marks a group.
    let destination = if to[0] & 1 == 1 { Some(Destination::All) } else { number(to).map(Destination::Host) };
    Some((number(from)?, destination?))
}

/// Computes the checksum of TCP or UDP in IPv4; leaves everything else as it is.
pub fn complete(datagram: &mut [u8]) {
    let is_ip = datagram.get(IP_AT - 2..IP_AT) == Some(&[0x08, 0x00]);
    if let (true, Some(packet)) = (is_ip, datagram.get_mut(IP_AT..)) {
        // A packet that is cut off is for its receiver to drop.
        let _ = complete_packet(packet);
    }
}

fn complete_packet(packet: &mut [u8]) -> Option<()> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let is_fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff != 0;
    let protocol = *packet.get(9)?;
    let at = match protocol {
        6 => 16,
        17 => 6,
        _ => return None,
    };
    if header < IP_BYTES_MIN || is_fragment {
        return None;
    }
    let addresses: [u8; 8] = packet.get(12..20)?.try_into().ok()?;
    let segment = packet.get_mut(header..total)?;
    let length = u32::try_from(segment.len()).ok()?;
    segment.get_mut(at..at + 2)?.fill(0);
    let sum = fold(words(&addresses) + u32::from(protocol) + length + words(segment));
    // For UDP zero means that there is none, so the other zero is sent.
    let sum = if protocol == 17 && sum == 0 { 0xffff } else { sum };
    segment.get_mut(at..at + 2)?.copy_from_slice(&sum.to_be_bytes());
    Some(())
}

/// Sum of the 16-bit words, an odd byte filled up with zero. Packets are too short for it to overflow.
fn words(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low))).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(to: u8, from: u8, packet: &[u8]) -> Vec<u8> {
        let address = |number: u8| [&ADDRESS_PREFIX[..], &[number]].concat();
        [&[0; VXLAN_BYTES][..], &address(to), &address(from), &[0x08, 0x00], packet].concat()
    }

    /// A packet of UDP from 10.78.0.1:1 to 10.78.0.2:2 with `payload`, without checksum.
    fn udp(payload: &[u8]) -> Vec<u8> {
        let length = 8 + payload.len() as u8;
        let ip = [0x45, 0, 0, 20 + length, 0, 0, 0, 0, 64, 17, 0, 0, 10, 78, 0, 1, 10, 78, 0, 2];
        [&ip[..], &[0, 1, 0, 2, 0, length, 0xde, 0xad], payload].concat()
    }

    #[test]
    fn sender_and_receiver_are_read() {
        assert_eq!(hosts(&datagram(2, 1, &[])), Some((1, Destination::Host(2))));
        let mut all = datagram(2, 1, &[]);
        all[VXLAN_BYTES..VXLAN_BYTES + 6].fill(0xff);
        assert_eq!(hosts(&all), Some((1, Destination::All)));
        let mut stranger = datagram(2, 1, &[]);
        stranger[VXLAN_BYTES + 6] = 0x04;
        assert_eq!(hosts(&stranger), None);
        assert_eq!(hosts(&datagram(2, 1, &[])[..19]), None);
    }

    #[test]
    fn a_checksum_that_was_left_out_is_computed() {
        for payload in [&b"abc"[..], b"abcd", b""] {
            let mut sent = datagram(2, 1, &udp(payload));
            complete(&mut sent);
            let segment = &sent[IP_AT + 20..];
            // With the checksum in it the sum over everything is all ones.
            let sum = words(&[10, 78, 0, 1, 10, 78, 0, 2]) + 17 + segment.len() as u32 + words(segment);
            assert_eq!(fold(sum), 0, "{payload:?}");
        }
    }

    #[test]
    fn what_is_cut_off_or_no_packet_stays_as_it_is() {
        let whole = datagram(2, 1, &udp(b"abc"));
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            complete(&mut cut);
            assert_eq!(cut, whole[..length]);
        }
        let mut other = whole.clone();
        other[IP_AT - 1] = 0x06;
        let before = other.clone();
        complete(&mut other);
        assert_eq!(other, before);
    }
}
