//! Makes the fingerprint of snapshots: any change of what decides their bytes changes it, so a snapshot of another build is
//! thrown away and nobody has to remember anything. It covers the sources of `domain`, `projections` and of the snapshot
//! itself, the target, the compiler, and the locked versions of every crate that `domain` and `projections` use.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = here.parent().ok_or("the crate lies in the workspace")?;
    let mut digest = Sha256::new();

    let mut sources = Vec::new();
    for tree in ["domain/src", "projections/src"] {
        println!("cargo::rerun-if-changed={}", root.join(tree).display());
        collect(&root.join(tree), &mut sources)?;
    }
    for file in [
        "domain/Cargo.toml",
        "projections/Cargo.toml",
        "engine/src/snapshot.rs",
        "rust-toolchain.toml",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
        sources.push(root.join(file));
    }
    sources.sort();
    for source in sources {
        let name = source.strip_prefix(root)?.to_string_lossy().into_owned();
        put(&mut digest, name.as_bytes());
        put(&mut digest, &fs::read(&source)?);
    }

    let lock = root.join("Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    for (package, version) in used_by(&["domain", "projections"], &fs::read_to_string(&lock)?) {
        put(&mut digest, package.as_bytes());
        put(&mut digest, version.as_bytes());
    }

    put(&mut digest, env::var("TARGET")?.as_bytes());
    let bytes: Vec<String> = digest.finalize().iter().map(u8::to_string).collect();
    let out = PathBuf::from(env::var("OUT_DIR")?).join("fingerprint.in");
    fs::write(out, format!("[{}]", bytes.join(", ")))?;
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

/// Each part after its length, so that no two lists of parts read the same.
fn put(digest: &mut Sha256, part: &[u8]) {
    digest.update((part.len() as u64).to_be_bytes());
    digest.update(part);
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Every package that `roots` use, directly or not, with its locked version.
fn used_by(roots: &[&str], lock: &str) -> BTreeSet<(String, String)> {
    // name -> [(version, names of what it depends on)]; two versions of a name are both taken, which only is too careful.
    let mut packages: BTreeMap<String, Vec<(String, Vec<String>)>> = BTreeMap::new();
    for block in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            block.lines().find_map(|line| {
                let text = line.strip_prefix(key)?.trim().strip_prefix('=')?;
                Some(text.trim().trim_matches('"').to_owned())
            })
        };
        let (Some(name), Some(version)) = (value("name "), value("version ")) else {
            continue;
        };
        let dependencies = block
            .lines()
            .skip_while(|line| !line.starts_with("dependencies = ["))
            .skip(1)
            .take_while(|line| !line.starts_with(']'))
            .filter_map(|line| line.trim().trim_matches([',', '"']).split(' ').next())
            .map(str::to_owned)
            .collect();
        packages
            .entry(name)
            .or_default()
            .push((version, dependencies));
    }
    let mut used = BTreeSet::new();
    let mut left: Vec<String> = roots.iter().map(|&root| root.to_owned()).collect();
    while let Some(name) = left.pop() {
        for (version, dependencies) in packages.get(&name).into_iter().flatten() {
            if used.insert((name.clone(), version.clone())) {
                left.extend(dependencies.iter().cloned());
            }
        }
    }
    used
}
