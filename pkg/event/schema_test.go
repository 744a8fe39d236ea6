package event

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		t.Fatalf("schema.json is not JSON: %v", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatalf("schema.json is not a JSON Schema: %v", err)
	}
	return schema
}

func TestSchemaAgreesWithDecode(t *testing.T) {
	schema := compileSchema(t)
	accepts := func(value []byte) bool {
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
		return err == nil && schema.Validate(instance) == nil
	}
	for _, s := range samples() {
		if s.reason == NotJSON {
			continue
		}
		want := s.reason == "" || s.beyondSchema
		if got := accepts([]byte(s.json)); got != want {
			t.Errorf("%s: the schema accepts it: %t, want %t; schema.json must agree with Decode", s.name, got, want)
		}
	}
}

func TestSchemaAcceptsEncodedEvents(t *testing.T) {
	schema := compileSchema(t)
	encoded, err := json.Marshal(good(func(e *Event) { e.Context, e.RecID = []byte(`{"page": 1}`), "R7.v000002" }))
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(instance); err != nil {
		t.Errorf("the schema rejects %s: %v", encoded, err)
	}
}

func TestSchemaNamesTheDefaultTypes(t *testing.T) {
	var document struct {
		Properties struct {
			Type struct {
				Enum    []*string
				Default string
			}
		}
	}
	if err := json.Unmarshal(Schema, &document); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, name := range document.Properties.Type.Enum {
		if name != nil {
			names = append(names, *name)
		}
	}
	if want := DefaultLimits().Types; !slices.Equal(names, want) {
		t.Errorf("schema.json names the types %q, DefaultLimits %q", names, want)
	}
	if got := document.Properties.Type.Default; got != DefaultType {
		t.Errorf("schema.json names the default type %q, the code %q", got, DefaultType)
	}
}
