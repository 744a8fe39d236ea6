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

// maxFileBytes bounds the size of a configuration file.
const maxFileBytes = 1 << 20

// readFile adds the values of the file that is named, if any.
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
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = fmt.Errorf("%s has more than %d bytes: it is not a configuration file", path, maxFileBytes)
	}
	return data, err
}

// parse adds the values of a file's text that the flags accept, and returns its problems.
func (s *Settings) parse(path string, data []byte, values map[string]value) (problems Problems) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, another yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil // empty
	case err != nil:
		return Problems{{Where: path, Err: err}}
	}
	if err := decoder.Decode(&another); !errors.Is(err, io.EOF) {
		return Problems{{Where: path, Err: errors.New("the file has more than one YAML document")}}
	}
	root := resolve(document.Content[0])
	if root.Kind != yaml.MappingNode {
		return Problems{{Where: position(path, root.Line), Err: errors.New("want lines such as kafka: localhost:9092")}}
	}
	var rejected []string
	for i := 0; i < len(root.Content); i += 2 {
		key, node := root.Content[i], resolve(root.Content[i+1])
		where := position(path, key.Line)
		reject := func(err error) {
			problems = append(problems, Problem{Where: where + ": " + key.Value, Err: err, line: key.Line})
		}
		flags, known := s.bound[key.Value]
		if !known {
			reject(s.unknownKey(key.Value))
			continue
		}
		if before := values[key.Value]; before.line > 0 {
			reject(fmt.Errorf("already set in line %d", before.line))
			continue
		}
		text, err := scalars(node, flags)
		if err != nil {
			reject(err)
			continue
		}
		values[key.Value] = value{text: text, from: where, line: key.Line}
		for _, p := range rejections(where, text, flags) {
			reject(p.Err)
			rejected = append(rejected, key.Value)
		}
	}
	for _, name := range rejected {
		delete(values, name)
	}
	return problems
}

func position(path string, line int) string { return fmt.Sprintf("%s:%d", path, line) }

// resolve follows an alias to its anchor.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

var errEmpty = errors.New("the value is missing: set one, or remove the line")

// scalars returns a value as the flags take it: a list is joined by their separator.
func scalars(node *yaml.Node, flags []boundFlag) (string, error) {
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
		return joinList(node.Content, flags)
	}
	return "", errors.New("want a value, or a list of values")
}

func joinList(items []*yaml.Node, flags []boundFlag) (string, error) {
	separator := flags[0].separator
	for _, f := range flags {
		if f.separator == "" || f.separator != separator {
			return "", errors.New("want one value, not a list")
		}
	}
	texts := make([]string, len(items))
	for i, item := range items {
		if item = resolve(item); item.Kind != yaml.ScalarNode || item.Tag == "!!null" || strings.Contains(item.Value, separator) {
			return "", errors.New("want a list of values without " + separatorNames[separator])
		}
		texts[i] = item.Value
	}
	return strings.Join(texts, separator), nil
}

func (s *Settings) unknownKey(key string) error {
	if near := s.nearest(key); near != "" {
		return fmt.Errorf("unknown setting: did you mean %s?", near)
	}
	return errors.New("unknown setting")
}

// nearest is the flag with the most similar name, or empty.
func (s *Settings) nearest(name string) string {
	others := slices.DeleteFunc(slices.Clone(s.flags), func(f cli.Flag) bool { return f == cli.Flag(s.file) })
	return strings.TrimLeft(cli.SuggestFlag(others, name, true), "-")
}
