use super::*;

fn file() -> (tempfile::TempDir, Pages) {
    let dir = tempfile::tempdir().unwrap();
    let pages = Pages::create(&dir.path().join("pages")).unwrap();
    (dir, pages)
}

#[test]
fn what_is_written_is_read_across_groups_and_after_reopening() {
    let (dir, pages) = file();
    let length = (GROUP_PAGES + 3) * PAGE;
    pages.set_len(length).unwrap();
    let data: Vec<u8> = (0..3 * PAGE_BYTES).map(|index| (index % 251) as u8).collect();
    let offset = (GROUP_PAGES - 1) * PAGE;
    pages.write(offset, &data).unwrap();
    pages.write(offset - 10, b"0123456789").unwrap();
    pages.sync_data().unwrap();
    drop(pages);
    let pages = Pages::open(&dir.path().join("pages")).unwrap();
    assert_eq!(pages.len().unwrap(), length);
    let mut read = vec![0; data.len()];
    pages.read(offset, &mut read).unwrap();
    assert!(read == data);
    let mut part = [0; 14];
    pages.read(offset - 12, &mut part).unwrap();
    assert_eq!(&part, b"\0\x000123456789\0\x01");
}

#[test]
fn a_flipped_bit_is_an_error_that_names_file_and_page() {
    let (dir, pages) = file();
    let path = dir.path().join("pages");
    pages.set_len(8 * PAGE).unwrap();
    pages.write(2 * PAGE, &[7; 2 * PAGE_BYTES]).unwrap();
    pages.sync_data().unwrap();
    drop(pages);
    let whole = std::fs::read(&path).unwrap();
    for bit in [0, 1, 77, 8 * PAGE_BYTES - 1] {
        let mut damaged = whole.clone();
        damaged[place(3 * PAGE) as usize + bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &damaged).unwrap();
        let pages = Pages::open(&path).unwrap();
        let mut page = [0; PAGE_BYTES];
        pages.read(2 * PAGE, &mut page).unwrap();
        let error = pages.read(3 * PAGE, &mut page).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let text = error.to_string();
        assert!(text.contains("page 3") && text.contains(&path.display().to_string()), "{text}");
    }
}

#[test]
fn a_page_in_the_wrong_place_or_never_written_is_an_error() {
    let (_dir, pages) = file();
    pages.set_len(8 * PAGE).unwrap();
    pages.write(2 * PAGE, &[7; PAGE_BYTES]).unwrap();
    let mut page = [0; PAGE_BYTES];
    pages.read(5 * PAGE, &mut page).unwrap();
    pages.file.write_all_at(&[7; PAGE_BYTES], place(5 * PAGE)).unwrap();
    assert!(pages.read(5 * PAGE, &mut page).is_err());
}

#[test]
fn a_file_that_is_cut_and_grown_again_reads_as_zeros() {
    let (_dir, pages) = file();
    pages.set_len(8 * PAGE).unwrap();
    pages.write(PAGE, &[7; 7 * PAGE_BYTES]).unwrap();
    pages.sync_data().unwrap();
    pages.set_len(3 * PAGE).unwrap();
    pages.set_len(8 * PAGE).unwrap();
    let mut page = [1; PAGE_BYTES];
    pages.read(2 * PAGE, &mut page).unwrap();
    assert_eq!(page, [7; PAGE_BYTES]);
    pages.read(4 * PAGE, &mut page).unwrap();
    assert_eq!(page, [0; PAGE_BYTES]);
}

#[test]
fn the_lengths_of_file_and_database_agree() {
    let (_dir, pages) = file();
    for length in [0, 1, 320, PAGE, GROUP_PAGES * PAGE - 1, GROUP_PAGES * PAGE, GROUP_PAGES * PAGE + 1, 5 << 22] {
        pages.set_len(length).unwrap();
        assert_eq!(pages.len().unwrap(), length, "{length}");
    }
}

#[test]
fn a_second_process_is_kept_out() {
    let (dir, _pages) = file();
    let error = Pages::open(&dir.path().join("pages")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}
