//! Arguments, environment, time, randomness, waiting and signals.

use super::abi::{self, Errno};
use super::{Answer, Call};
use crate::guest::Stop;

/// Most subscriptions of one wait.
const SUBSCRIPTIONS_MAX: u32 = 256;
/// Resolution of every clock in nanoseconds.
const RESOLUTION_NANOS: u64 = 1_000;
/// The clock that counts from 1970; 1 to 3 count from the beginning of the guest.
const CLOCK_REALTIME: u32 = 0;
/// Highest number of a clock.
const CLOCK_LAST: u32 = 3;
/// A subscription to a time.
const KIND_CLOCK: u8 = 0;
/// Highest kind of a subscription: 1 and 2 are reading and writing.
const KIND_LAST: u8 = 2;
/// The time of a subscription is a point on the clock, not a span.
const TIME_IS_ABSOLUTE: u8 = 1;

impl Call<'_> {
    pub(super) fn args_sizes_get(&mut self, count: u32, bytes: u32) -> Answer {
        let texts = self.guest.args.clone();
        self.put_sizes(&texts, count, bytes)
    }

    pub(super) fn args_get(&mut self, list: u32, text: u32) -> Answer {
        let texts = self.guest.args.clone();
        self.put_texts(&texts, list, text)
    }

    pub(super) fn environ_sizes_get(&mut self, count: u32, bytes: u32) -> Answer {
        let texts = self.environment();
        self.put_sizes(&texts, count, bytes)
    }

    pub(super) fn environ_get(&mut self, list: u32, text: u32) -> Answer {
        let texts = self.environment();
        self.put_texts(&texts, list, text)
    }

    fn environment(&self) -> Vec<String> {
        self.guest.env.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn put_sizes(&mut self, texts: &[String], count: u32, bytes: u32) -> Answer {
        let size: usize = texts.iter().map(|text| text.len() + 1).sum();
        self.put_u32(count, texts.len() as u32)?;
        self.put_u32(bytes, size as u32)
    }

    /// Writes the texts with a NUL each, and the list of their addresses.
    fn put_texts(&mut self, texts: &[String], list: u32, mut text: u32) -> Answer {
        for (i, value) in (0u32..).zip(texts) {
            let slot = list.checked_add(i * 4).ok_or(Errno::Fault)?;
            self.put_u32(slot, text)?;
            self.put(text, format!("{value}\0").as_bytes())?;
            text = text.checked_add(value.len() as u32 + 1).ok_or(Errno::Fault)?;
        }
        Ok(())
    }

    pub(super) fn clock_res_get(&mut self, id: u32, out: u32) -> Answer {
        if id > CLOCK_LAST {
            return Err(Errno::Invalid.into());
        }
        self.put_u64(out, RESOLUTION_NANOS)
    }

    pub(super) fn clock_time_get(&mut self, id: u32, _precision: u64, out: u32) -> Answer {
        let now = self.now(id)?;
        self.put_u64(out, now)
    }

    fn now(&mut self, id: u32) -> Answer<u64> {
        match id {
            CLOCK_REALTIME => Ok(self.guest.clock.realtime()),
            1..=CLOCK_LAST => Ok(self.guest.clock.monotonic()),
            _ => Err(Errno::Invalid.into()),
        }
    }

    /// Files are always ready; if only times are waited for, the clock jumps to the nearest.
    pub(super) fn poll_oneoff(&mut self, subscriptions: u32, events: u32, count: u32, out: u32) -> Answer {
        if count == 0 || count > SUBSCRIPTIONS_MAX {
            return Err(Errno::Invalid.into());
        }
        self.charge(u64::from(count) * u64::from(abi::SUBSCRIPTION_BYTES))?;
        let mut waits = Vec::with_capacity(count as usize);
        for i in 0..count {
            let address = subscriptions.checked_add(i * abi::SUBSCRIPTION_BYTES).ok_or(Errno::Fault)?;
            waits.push(self.subscription(address)?);
        }
        let span = waits.iter().map(|wait| wait.nanos).min().expect("there is a subscription");
        self.guest.clock.advance(span);
        let mut written = 0;
        for wait in waits.iter().filter(|wait| wait.nanos <= span) {
            let address = events.checked_add(written * abi::EVENT_BYTES).ok_or(Errno::Fault)?;
            self.put(address, &abi::event(wait.userdata, wait.kind, u64::from(wait.kind != KIND_CLOCK)))?;
            written += 1;
        }
        self.put_u32(out, written)
    }

    fn subscription(&mut self, address: u32) -> Answer<Wait> {
        let raw: [u8; abi::SUBSCRIPTION_BYTES as usize] =
            self.bytes((address, abi::SUBSCRIPTION_BYTES))?.try_into().expect("as many bytes were asked for");
        let long = |at: usize| u64::from_le_bytes(raw[at..at + 8].try_into().expect("eight bytes"));
        let (userdata, kind) = (long(0), raw[8]);
        let nanos = match kind {
            KIND_CLOCK => {
                let id = u32::from_le_bytes(raw[16..20].try_into().expect("four bytes"));
                let now = self.now(id)?;
                if raw[40] & TIME_IS_ABSOLUTE != 0 { long(24).saturating_sub(now) } else { long(24) }
            }
            1..=KIND_LAST => 0,
            _ => return Err(Errno::Invalid.into()),
        };
        Ok(Wait { userdata, kind, nanos })
    }

    /// Raising a signal ends the guest, whichever it is.
    pub(super) fn proc_raise(&mut self, _signal: u32) -> Answer {
        Err(Stop::Trap("the guest raised a signal").into())
    }

    pub(super) fn random_get(&mut self, buffer: u32, len: u32) -> Answer {
        self.charge(len.into())?;
        self.bytes((buffer, len))?;
        let start = buffer as usize;
        self.guest.random.fill(&mut self.memory[start..start + len as usize]);
        Ok(())
    }

    pub(super) fn sched_yield(&mut self) -> Answer {
        Ok(())
    }
}

/// One subscription: how long until it is ready.
struct Wait {
    userdata: u64,
    kind: u8,
    nanos: u64,
}
