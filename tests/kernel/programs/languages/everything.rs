// What Rust programs do: panics that are caught, threads, channels, boxed closures, files, children.
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::panic;
use std::process::{exit, Command};
use std::sync::{mpsc, Arc, Mutex};
use std::thread;

struct Counted(Arc<Mutex<i32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        *self.0.lock().unwrap() += 1;
    }
}

#[inline(never)]
fn deep(depth: u32, drops: &Arc<Mutex<i32>>) -> u32 {
    let _counted = Counted(drops.clone());
    if depth == 0 {
        panic!("deep");
    }
    deep(depth - 1, drops) + 1
}

#[no_mangle]
pub extern "C" fn ascending(one: &i32, other: &i32) -> i32 {
    one - other
}

#[no_mangle]
#[inline(never)]
pub fn pass_on(work: &dyn Fn() -> u32) -> u32 {
    work()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    println!("{} {}", arguments.len(), arguments[1]);
    panic::set_hook(Box::new(|_| {}));
    let drops = Arc::new(Mutex::new(0));
    let caught = panic::catch_unwind(|| deep(7, &drops)).is_err();
    let passed = panic::catch_unwind(|| pass_on(&|| deep(3, &drops))).is_err();
    println!("{} {} {}", caught, passed, drops.lock().unwrap());

    let (sender, receiver) = mpsc::channel();
    let threads: Vec<_> = (0..5)
        .map(|index| {
            let (sender, drops) = (sender.clone(), drops.clone());
            thread::spawn(move || {
                sender.send(index * index).unwrap();
                if index % 2 == 1 {
                    deep(index, &drops);
                }
                index
            })
        })
        .collect();
    drop(sender);
    let joined: Vec<bool> = threads.into_iter().map(|thread| thread.join().is_ok()).collect();
    let mut received: Vec<u32> = receiver.iter().collect();
    received.sort();
    println!("{:?} {:?}", joined, received);

    let mut numbers = vec![5, 2, 11, 3, 7];
    numbers.sort_by(|one, other| ascending(one, other).cmp(&0));
    let words: BTreeMap<String, i32> = numbers.iter().map(|number| (format!("n{}", number), *number)).collect();
    println!("{:?} {:?}", numbers, words);

    let path = std::env::temp_dir().join(format!("everything-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().read(true).write(true).create(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all("line\n".repeat(11).as_bytes()).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    println!("{}", file.read_to_string(&mut text).unwrap());
    let child = Command::new("sh").args(["-c", "echo child; exit 5"]).output().unwrap();
    println!("{:?} {:?}", child.stdout, child.status.code());
    exit(3);
}
