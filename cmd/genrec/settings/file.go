package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
	"go.yaml.in/yaml/v3"
)

// mostBytes of a file: what is larger is not one of settings.
const mostBytes = 1 << 20

// readFile adds to values what the file says, if one is named.
func (s *Settings) readFile(named value, values map[string]value) Problems {
	if named.text == "" {
		return nil
	}
	data, err := readBounded(named.text)
	if err != nil {
		return Problems{{Where: named.from, Err: err}}
	}
	return s.parse(named.text, data, values)
}

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, mostBytes+1))
	if err == nil && len(data) > mostBytes {
		err = fmt.Errorf("%s has more than %d bytes: it is no file of settings", path, mostBytes)
	}
	return data, err
}

// parse adds to values what a file says, and holds it against the flags.
func (s *Settings) parse(path string, data []byte, values map[string]value) (problems Problems) {
	var refused []string
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, another yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil // empty
	case err != nil:
		return Problems{{Where: path, Err: err}}
	}
	if err := decoder.Decode(&another); !errors.Is(err, io.EOF) {
		return Problems{{Where: path, Err: errors.New("there is more than one YAML document")}}
	}
	root := resolve(document.Content[0])
	if root.Kind != yaml.MappingNode {
		return Problems{{Where: place(path, root.Line), Err: errors.New("want lines like kafka: localhost:9092")}}
	}
	for i := 0; i < len(root.Content); i += 2 {
		key, node := root.Content[i], resolve(root.Content[i+1])
		where := place(path, key.Line)
		refuse := func(err error) {
			problems = append(problems, Problem{Where: where + ": " + key.Value, Err: err, line: key.Line})
		}
		tries, known := s.tries[key.Value]
		if !known {
			refuse(s.unknown(key.Value))
			continue
		}
		if before := values[key.Value]; before.line > 0 {
			refuse(fmt.Errorf("line %d has set it already", before.line))
			continue
		}
		text, err := scalars(node, tries)
		if err != nil {
			refuse(err)
			continue
		}
		values[key.Value] = value{text: text, from: where, line: key.Line}
		for _, p := range refusals(where, text, tries) {
			refuse(p.Err)
			refused = append(refused, key.Value)
		}
	}
	for _, name := range refused {
		delete(values, name)
	}
	return problems
}

func place(path string, line int) string { return fmt.Sprintf("%s:%d", path, line) }

// resolve follows an alias to its anchor.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

var errEmpty = errors.New("it has no value: give one, or leave the line out")

// scalars is a value, or a list of values with what separates them between, as a flag takes them.
func scalars(node *yaml.Node, tries []try) (string, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return "", errEmpty
		}
		return node.Value, nil
	case yaml.SequenceNode:
		if len(node.Content) == 0 {
			return "", errEmpty
		}
		return joined(node.Content, tries)
	}
	return "", errors.New("want a value, or a list of values")
}

func joined(items []*yaml.Node, tries []try) (string, error) {
	separator := tries[0].separator
	for _, t := range tries {
		if t.separator == "" || t.separator != separator {
			return "", errors.New("it takes one value, not a list")
		}
	}
	texts := make([]string, len(items))
	for i, item := range items {
		if item = resolve(item); item.Kind != yaml.ScalarNode || item.Tag == "!!null" || strings.Contains(item.Value, separator) {
			return "", errors.New("want a list of values without " + separators[separator])
		}
		texts[i] = item.Value
	}
	return strings.Join(texts, separator), nil
}

func (s *Settings) unknown(key string) error {
	if near := s.nearest(key); near != "" {
		return fmt.Errorf("there is no such setting: did you mean %s?", near)
	}
	return errors.New("there is no such setting")
}

// nearest is the flag with the name most like it, if any is.
func (s *Settings) nearest(name string) string {
	others := slices.DeleteFunc(slices.Clone(s.flags), func(f cli.Flag) bool { return f == cli.Flag(s.file) })
	return strings.TrimLeft(cli.SuggestFlag(others, name, true), "-")
}
