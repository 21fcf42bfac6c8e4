//! Asks Python's `xmlschema` whether documents keep a schema.

use std::process::Command;

use tempfile::TempDir;

/// The interpreter that has `xmlschema`; `cargo xtask test` makes one.
const INTERPRETER: &str = "GATEBOOK_TEST_XMLSCHEMA_PYTHON";

/// Prints for each document whether it keeps the schema, and why not.
const VALIDATE: &str = "
import sys, xmlschema
schema = xmlschema.XMLSchema(sys.argv[1])
failed = False
for path in sys.argv[2:]:
    for error in schema.iter_errors(path):
        failed = True
        print(path, error.path, error.reason)
sys.exit(1 if failed else 0)
";

/// Prints the text of the first element of a name.
const FIRST_TEXT: &str = "
import sys, xml.etree.ElementTree as tree
for element in tree.parse(sys.argv[1]).iter():
    if element.tag.rsplit('}', 1)[-1] == sys.argv[2]:
        sys.stdout.buffer.write((element.text or '').encode())
        break
";

/// A schema, in a folder of its own.
pub(crate) struct Schema {
    folder: TempDir,
}

impl Schema {
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("schema.xsd"), text).expect("the schema is written");
        Self { folder }
    }

    /// Asserts that every document keeps the schema.
    pub(crate) fn holds_for(&self, documents: &[&str]) {
        let (kept, said) = self.validate(documents);
        assert!(kept, "{said}");
    }

    pub(crate) fn accepts(&self, document: &str) -> bool {
        self.validate(&[document]).0
    }

    fn validate(&self, documents: &[&str]) -> (bool, String) {
        let mut arguments = vec!["schema.xsd".to_owned()];
        for (number, document) in documents.iter().enumerate() {
            let name = format!("{number}.xml");
            std::fs::write(self.folder.path().join(&name), document).expect("it is written");
            arguments.push(name);
        }
        self.python(VALIDATE, &arguments)
    }

    /// The text of the first element of this name, as another parser reads it.
    pub(crate) fn first_text(&self, document: &str, element: &str) -> String {
        std::fs::write(self.folder.path().join("one.xml"), document).expect("it is written");
        let arguments = ["one.xml".to_owned(), element.to_owned()];
        let (read, text) = self.python(FIRST_TEXT, &arguments);
        assert!(read, "{text}");
        text
    }

    fn python(&self, script: &str, arguments: &[String]) -> (bool, String) {
        let python = std::env::var(INTERPRETER).unwrap_or_else(|_| {
            panic!(
                "{INTERPRETER} is not set: run cargo xtask test, it makes a Python with xmlschema"
            )
        });
        let output = Command::new(python)
            .current_dir(self.folder.path())
            .args(["-I", "-c", script])
            .args(arguments)
            .output()
            .expect("Python runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("UTF-8");
        (output.status.success(), said)
    }
}
