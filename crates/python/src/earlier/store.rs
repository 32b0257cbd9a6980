//! Records in a temporary file, of which memory holds only where each is.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

/// Read at a time: requests come mostly in the order in which the earlier run has them.
const BLOCK: usize = 32 << 10;
const SHA256: usize = 32;

/// What is known of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) key: [u64; 2],
    pub(super) fetched_us: i64,
    /// None: the row that has the body was not read yet.
    pub(super) status: Option<u16>,
    pub(super) digest: Option<[u8; SHA256]>,
    pub(super) etag: Option<String>,
    pub(super) modified: Option<String>,
    pub(super) moved: Option<String>,
    /// The run that has the body, by its number, and the row's position there.
    pub(super) run: u16,
    pub(super) at: u64,
    /// There were different answers.
    pub(super) several: bool,
}

impl Known {
    fn write(&self, out: &mut impl Write) -> io::Result<u64> {
        let mut bytes = Vec::with_capacity(160);
        for part in self.key {
            bytes.extend(part.to_le_bytes());
        }
        bytes.extend(self.fetched_us.to_le_bytes());
        bytes.extend(self.at.to_le_bytes());
        bytes.extend(self.run.to_le_bytes());
        bytes.extend(self.status.unwrap_or_default().to_le_bytes());
        bytes.push(u8::from(self.several));
        bytes.push(u8::from(self.digest.is_some()));
        bytes.extend(self.digest.iter().flatten());
        for text in [&self.etag, &self.modified, &self.moved] {
            // One more than the length: zero is none.
            let length = text.as_ref().map_or(0, |text| text.len() + 1);
            bytes.extend(u32::try_from(length).unwrap_or_default().to_le_bytes());
            bytes.extend(text.iter().flat_map(|text| text.bytes()));
        }
        out.write_all(&bytes)?;
        Ok(bytes.len() as u64)
    }

    fn read(from: &mut impl Read) -> io::Result<Self> {
        let key = [number(from)?, number(from)?];
        let (fetched_us, at) = (i64::from_le_bytes(array(from)?), number(from)?);
        let [run, status] = [u16::from_le_bytes(array(from)?), u16::from_le_bytes(array(from)?)];
        let [several, has_digest] = array(from)?;
        let digest = if has_digest == 1 { Some(array(from)?) } else { None };
        let mut texts = [None, None, None];
        for text in &mut texts {
            let length = u32::from_le_bytes(array(from)?);
            if length > 0 {
                let mut bytes = vec![0; length as usize - 1];
                from.read_exact(&mut bytes)?;
                *text = Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        let [etag, modified, moved] = texts;
        let status = (status > 0).then_some(status);
        Ok(Self { key, fetched_us, status, digest, etag, modified, moved, run, at, several: several == 1 })
    }
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn number(from: &mut impl Read) -> io::Result<u64> {
    Ok(u64::from_le_bytes(array(from)?))
}

/// Records in a temporary file, and where each is: 16 bytes of memory for a record.
pub(super) struct Store {
    file: BufWriter<File>,
    end: u64,
    /// Half of each record's key, and where the record begins; sorted once nothing is added any more.
    places: Vec<(u64, u64)>,
    is_sorted: bool,
    /// What was read last, and where it begins.
    block: Vec<u8>,
    block_at: u64,
}

impl Store {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::with_capacity(BLOCK, tempfile::tempfile()?),
            end: 0,
            places: Vec::new(),
            is_sorted: false,
            block: Vec::new(),
            block_at: 0,
        })
    }

    pub(super) fn write(&mut self, known: &Known) -> io::Result<u64> {
        let at = self.end;
        self.end += known.write(&mut self.file)?;
        Ok(at)
    }

    pub(super) fn add(&mut self, known: &Known) -> io::Result<()> {
        let at = self.write(known)?;
        if self.places.len() == self.places.capacity() {
            // Doubling would hold twice what is needed.
            self.places.reserve_exact(self.places.len() / 8 + 4096);
        }
        self.places.push((known.key[0], at));
        Ok(())
    }

    pub(super) fn read(&mut self, at: u64) -> io::Result<Known> {
        let within = |store: &Self| {
            let skipped = usize::try_from(at.checked_sub(store.block_at)?).ok()?;
            Known::read(&mut store.block.get(skipped..)?).ok()
        };
        if let Some(known) = within(self) {
            return Ok(known);
        }
        self.file.flush()?;
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(at))?;
        self.block.clear();
        self.block_at = at;
        file.take(BLOCK as u64).read_to_end(&mut self.block)?;
        let known = if let Ok(known) = Known::read(&mut self.block.as_slice()) {
            known
        } else {
            // It is longer than a block.
            self.block.clear();
            file.seek(SeekFrom::Start(at))?;
            Known::read(file)?
        };
        file.seek(SeekFrom::Start(self.end))?;
        Ok(known)
    }

    /// Where the record of a key is among `places`.
    pub(super) fn find(&mut self, key: [u64; 2]) -> io::Result<Option<(usize, Known)>> {
        let first = self.places.partition_point(|(half, _)| *half < key[0]);
        for place in first.. {
            let Some(&(half, at)) = self.places.get(place) else { break };
            if half != key[0] {
                break;
            }
            let known = self.read(at)?;
            if known.key == key {
                return Ok(Some((place, known)));
            }
        }
        Ok(None)
    }

    /// Has a record of the same key take the place of another one.
    pub(super) fn replace(&mut self, place: usize, at: u64) {
        if let Some(entry) = self.places.get_mut(place) {
            entry.1 = at;
        }
    }

    /// Where the records begin, in the order in which they lie.
    pub(super) fn in_order(&self) -> Vec<u64> {
        let mut places: Vec<u64> = self.places.iter().map(|(_, at)| *at).collect();
        places.sort_unstable();
        places
    }

    /// Sorts the places, and keeps one record for each key. False: that was done before.
    pub(super) fn sort(&mut self) -> io::Result<bool> {
        if std::mem::replace(&mut self.is_sorted, true) {
            return Ok(false);
        }
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable();
        let mut kept = 0;
        let mut next = 0;
        while let Some(&(half, at)) = places.get(next) {
            let equal = places.iter().skip(next).take_while(|(other, _)| *other == half).count();
            let merged =
                if equal == 1 { vec![(half, at)] } else { self.merged(places.get(next..next + equal))? };
            for place in merged {
                if let Some(slot) = places.get_mut(kept) {
                    *slot = place;
                }
                kept += 1;
            }
            next += equal;
        }
        places.truncate(kept);
        places.shrink_to_fit();
        self.places = places;
        Ok(true)
    }

    /// Of the records at these places, in the order in which they were added, the newest for each key.
    fn merged(&mut self, places: Option<&[(u64, u64)]>) -> io::Result<Vec<(u64, u64)>> {
        let mut newest: Vec<Known> = Vec::new();
        for (_, at) in places.unwrap_or_default() {
            let known = self.read(*at)?;
            match newest.iter_mut().find(|other| other.key == known.key) {
                None => newest.push(known),
                Some(other) => {
                    let several = other.several || other.digest != known.digest;
                    if known.fetched_us >= other.fetched_us {
                        *other = known;
                    }
                    other.several = several;
                }
            }
        }
        newest.iter().map(|known| Ok((known.key[0], self.write(known)?))).collect()
    }
}
