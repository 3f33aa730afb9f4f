//! The log on disk: frames of bytes in one of two files, which take turns.
//!
//! | bytes of a frame | |
//! |---|---|
//! | 8 | life: a random number of all frames from one beginning on |
//! | 8 | its place in that life, from 0 |
//! | 4 | length of the content |
//! | 4 | CRC-32 of all of this |
//! | | content |
//!
//! The content of frame 0 begins with `KLOG`, the format and the generation, and holds everything there is. When a file has
//! become long, a new generation begins in the other one; what stood there is overwritten, which costs a disk less than
//! to grow a file. A write that a crash cut short is the last one of its life, and each start begins a new life, so
//! nothing that was left behind it is taken for what followed.
//!
//! When a generation is on the disk, the first bytes of the other file are overwritten: if the newest one cannot be read, there
//! is no older one that could be taken for it. A file is damaged if a frame is behind one of its life that cannot be read.

use bytes::BufMut as _;
use commonware_runtime::{Error, ReadOptions, Storage, WriteOptions};

const HEADER_BYTES: usize = 8 + 8 + 4 + 4;
const MAGIC: [u8; 4] = *b"KLOG";
const FORMAT: u16 = 1;
/// Of frame 0, before what it holds.
const BEGIN_BYTES: usize = 4 + 2 + 8;
const NAMES: [&[u8]; 2] = [b"a", b"b"];
/// What a file begins with when the other one is newer; as long as the header of a frame.
const RETIRED: [u8; HEADER_BYTES] = *b"retired: see other file\n";

/// The two files.
pub(super) struct Frames<B> {
    files: [B; 2],
    /// Which of them is written to.
    current: usize,
    generation: u64,
    life: u64,
    /// Place of the next frame in its life, and in the file.
    place: u64,
    tail: usize,
}

/// What a file holds.
struct Held<'a> {
    generation: u64,
    contents: Vec<&'a [u8]>,
}

impl<B: commonware_runtime::Blob> Frames<B> {
    /// Opens the files in `partition`, and returns the contents of the newest generation in their order; `None` if there never
    /// was one. Nothing can be appended before [`Frames::begin`], which is to be done twice if there was none.
    ///
    /// # Errors
    /// [`Error::PartitionCorrupt`] if a frame is damaged that had been written completely, or is of another format.
    pub async fn open<S: Storage<Blob = B>>(
        storage: &S,
        partition: &str,
    ) -> Result<(Self, Option<Vec<Vec<u8>>>), Error> {
        let corrupt = |reason: &str| Error::PartitionCorrupt(format!("{partition}: {reason}"));
        let (first, first_bytes) = storage.open(partition, NAMES[0]).await?;
        let (second, second_bytes) = storage.open(partition, NAMES[1]).await?;
        let mut bytes = Vec::new();
        for (file, length) in [(&first, first_bytes), (&second, second_bytes)] {
            let length = usize::try_from(length).map_err(|_| Error::OffsetOverflow)?;
            bytes.push(file.read_at(0, length, ReadOptions::DONT_CACHE).await?.coalesce());
        }
        let mut newest: Option<(usize, Held<'_>)> = None;
        for (number, bytes) in bytes.iter().enumerate() {
            let held = read(bytes.as_ref()).map_err(corrupt)?;
            if let Some(held) = held.filter(|held| newest.as_ref().is_none_or(|(_, n)| n.generation < held.generation))
            {
                newest = Some((number, held));
            }
        }
        let is_retired = bytes.iter().any(|bytes| bytes.as_ref().starts_with(&RETIRED));
        let (current, generation, contents) = match newest {
            Some((number, held)) => {
                let contents = held.contents.into_iter().map(<[u8]>::to_vec).collect();
                (number, held.generation, Some(contents))
            }
            // The second file is written when the first one is whole, and that is retired after it.
            None if second_bytes > 0 || is_retired => return Err(corrupt("neither file can be read")),
            None => (1, 0, None),
        };
        let frames = Self { files: [first, second], current, generation, life: 0, place: 0, tail: 0 };
        if contents.is_some() {
            frames.retire(1 - current).await?;
        }
        Ok((frames, contents))
    }

    /// Overwrites the beginning of a file.
    async fn retire(&self, file: usize) -> Result<(), Error> {
        self.files[file].write_at(0, RETIRED.to_vec(), WriteOptions::SYNC).await
    }

    /// Begins a generation that holds `content`, and only that, in the other file, which is retired.
    pub async fn begin(&mut self, life: u64, content: &[u8]) -> Result<(), Error> {
        let generation = self.generation + 1;
        let mut begin = Vec::with_capacity(BEGIN_BYTES + content.len());
        begin.put_slice(&MAGIC);
        begin.put_u16(FORMAT);
        begin.put_u64(generation);
        begin.put_slice(content);
        let frame = frame(life, 0, &begin);
        let (other, tail) = (1 - self.current, frame.len());
        self.files[other].write_at(0, frame, WriteOptions::SYNC).await?;
        if self.generation > 0 {
            self.retire(self.current).await?;
        }
        (self.current, self.generation, self.life, self.place, self.tail) = (other, generation, life, 1, tail);
        Ok(())
    }

    /// Appends a frame; it is on the disk when this returns.
    pub async fn append(&mut self, content: &[u8]) -> Result<(), Error> {
        let frame = frame(self.life, self.place, content);
        let bytes = frame.len();
        self.files[self.current].write_at(self.tail as u64, frame, WriteOptions::SYNC).await?;
        self.place += 1;
        self.tail += bytes;
        Ok(())
    }

    /// Bytes of the current file that are in use.
    pub fn bytes(&self) -> usize {
        self.tail
    }
}

fn checksum(life: u64, place: u64, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&life.to_be_bytes());
    hasher.update(&place.to_be_bytes());
    hasher.update(&(content.len() as u64).to_be_bytes());
    hasher.update(content);
    hasher.finalize()
}

fn frame(life: u64, place: u64, content: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + content.len());
    frame.put_u64(life);
    frame.put_u64(place);
    frame.put_u32(u32::try_from(content.len()).expect("a frame is far below 4 GiB"));
    frame.put_u32(checksum(life, place, content));
    frame.put_slice(content);
    frame
}

/// Life and content of the frame at the beginning of `bytes` if it has this place.
fn content(bytes: &[u8], place: u64) -> Option<(u64, &[u8])> {
    let (life, at, length, sum) = header(bytes)?;
    let content = bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(length)?)?;
    (at == place && sum == checksum(life, place, content)).then_some((life, content))
}

fn header(bytes: &[u8]) -> Option<(u64, u64, usize, u32)> {
    let (life, rest) = bytes.split_first_chunk()?;
    let (place, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (sum, _) = rest.split_first_chunk()?;
    let length = u32::from_be_bytes(*length) as usize;
    Some((u64::from_be_bytes(*life), u64::from_be_bytes(*place), length, u32::from_be_bytes(*sum)))
}

/// What a file holds; `None` if its first frame cannot be read.
fn read(bytes: &[u8]) -> Result<Option<Held<'_>>, &'static str> {
    let Some((life, first)) = content(bytes, 0) else { return Ok(None) };
    let (mut rest, mut contents) = (&bytes[HEADER_BYTES + first.len()..], vec![first]);
    while let Some((_, content)) = content(rest, contents.len() as u64).filter(|(other, _)| *other == life) {
        rest = &rest[HEADER_BYTES + content.len()..];
        contents.push(content);
    }
    // A frame that was cut short by a crash is the last one of its life.
    let places = contents.len() as u64..;
    let is_behind = |at: usize| {
        header(&rest[at..])
            .is_some_and(|(_, place, ..)| places.contains(&place) && content(&rest[at..], place).is_some())
    };
    let mark = life.to_be_bytes();
    if rest.windows(mark.len()).enumerate().any(|(at, bytes)| bytes == mark && is_behind(at)) {
        return Err("a record in the middle is damaged");
    }
    let Some(begin) = contents.first_mut() else { return Ok(None) };
    let Some((head, content)) = begin.split_first_chunk::<BEGIN_BYTES>() else {
        return Err("it does not begin as a log does");
    };
    if head[..4] != MAGIC {
        return Err("it does not begin as a log does");
    }
    if head[4..6] != FORMAT.to_be_bytes() {
        return Err("it is of a format that this program does not read");
    }
    let generation = u64::from_be_bytes(head[6..].try_into().map_err(|_| "it does not begin as a log does")?);
    *begin = content;
    Ok(Some(Held { generation, contents }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_runtime::{Blob as _, Runner as _, deterministic};

    fn begin(generation: u64, content: &[u8]) -> Vec<u8> {
        [&MAGIC[..], &FORMAT.to_be_bytes(), &generation.to_be_bytes(), content].concat()
    }

    fn contents(bytes: &[u8]) -> Result<Option<Vec<Vec<u8>>>, &'static str> {
        Ok(read(bytes)?.map(|held| held.contents.into_iter().map(<[u8]>::to_vec).collect()))
    }

    fn file() -> Vec<u8> {
        [frame(7, 0, &begin(3, b"all")), frame(7, 1, b"one"), frame(7, 2, b"two")].concat()
    }

    #[test]
    fn what_was_written_is_read_in_its_order() {
        let file = file();
        let held = read(&file).unwrap().unwrap();
        assert_eq!((held.generation, held.contents), (3, vec![&b"all"[..], b"one", b"two"]));
        assert_eq!(contents(&[]), Ok(None));
    }

    #[test]
    fn a_write_that_was_cut_short_is_as_if_it_had_not_begun() {
        let (file, last) = (file(), frame(7, 2, b"two").len());
        for cut in 1..=last {
            let kept = contents(&file[..file.len() - cut]).unwrap().unwrap();
            assert_eq!(kept, [b"all", b"one"], "{cut} bytes are missing");
        }
        for torn in file.len() - last..file.len() {
            let mut file = file.clone();
            file[torn] ^= 1;
            assert_eq!(contents(&file).unwrap().unwrap(), [b"all", b"one"], "byte {torn}");
        }
    }

    #[test]
    fn damage_before_the_last_write_is_told_from_a_crash() {
        let file = file();
        let (first, second) = (frame(7, 0, &begin(3, b"all")).len(), frame(7, 1, b"one").len());
        for damaged in first..first + second {
            let mut file = file.clone();
            file[damaged] ^= 1;
            assert_eq!(contents(&file), Err("a record in the middle is damaged"), "byte {damaged}");
        }
        for damaged in 0..first {
            let mut file = file.clone();
            file[damaged] ^= 1;
            assert_eq!(contents(&file), Ok(None), "byte {damaged}");
        }
    }

    /// Opens, begins as often as asked, and appends a frame.
    async fn live(context: &deterministic::Context, begins: u64) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let (mut frames, contents) = Frames::open(context, "log").await?;
        for life in 0..begins {
            frames.begin(100 + life, b"all").await?;
            frames.append(&life.to_be_bytes()).await?;
        }
        Ok(contents)
    }

    async fn overwrite(context: &deterministic::Context, name: &[u8], offset: u64, bytes: Vec<u8>) {
        let (file, _) = context.open("log", name).await.unwrap();
        file.write_at(offset, bytes, WriteOptions::SYNC).await.unwrap();
    }

    #[test]
    fn no_older_generation_is_taken_for_a_newest_one_that_is_damaged() {
        for begins in [2, 3, 4] {
            deterministic::Runner::default().start(|context| async move {
                assert_eq!(live(&context, begins).await.unwrap(), None);
                let newest = NAMES[(begins as usize + 1) % 2];
                overwrite(&context, newest, 0, vec![0; 8]).await;
                assert!(matches!(live(&context, 1).await, Err(Error::PartitionCorrupt(_))), "{begins}");
            });
        }
    }

    /// Whatever part of it a crash leaves: the generation before is whole.
    #[test]
    fn a_generation_whose_beginning_was_cut_short_has_not_begun() {
        let begun = frame(500, 0, &begin(9, &[7; 20_000]));
        for pages in 0..16_usize {
            let begun = begun.clone();
            deterministic::Runner::default().start(|context| async move {
                live(&context, 3).await.unwrap();
                // The third generation is in the first file.
                for (page, bytes) in begun.chunks(4_096).enumerate().filter(|(page, _)| pages >> page & 1 == 1) {
                    overwrite(&context, NAMES[1], page as u64 * 4_096, bytes.to_vec()).await;
                }
                let contents = live(&context, 1).await.unwrap().unwrap();
                assert_eq!(contents, [b"all".to_vec(), 2_u64.to_be_bytes().to_vec()], "pages {pages:b}");
            });
        }
    }

    #[test]
    fn what_is_left_of_a_former_life_is_not_taken() {
        let mut file = file();
        let begin = frame(8, 0, &begin(5, b"all"));
        file[..begin.len()].copy_from_slice(&begin);
        let held = read(&file).unwrap().unwrap();
        assert_eq!((held.generation, held.contents), (5, vec![&b"all"[..]]));
    }

    #[test]
    fn other_files_are_refused() {
        assert!(contents(&frame(7, 0, b"short")).is_err());
        assert!(contents(&frame(7, 0, &[0; BEGIN_BYTES])).is_err());
        let mut other = begin(1, b"");
        other[5] = 2;
        assert!(contents(&frame(7, 0, &other)).is_err());
    }
}
