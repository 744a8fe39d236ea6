package torchfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"

	"genrec/model/safetensors"
)

// maxPickle bounds the pickle in bytes, which suffices for about 5,000 tensors. Decoded, it may take
// 300 times as much memory.
const maxPickle = 1 << 20

// maxDimensions is the limit of PyTorch.
const maxDimensions = 64

// storageTypes are the supported classes of storages.
var storageTypes = map[storageClass]safetensors.Type{
	"HalfStorage":     safetensors.F16,
	"BFloat16Storage": safetensors.BF16,
	"FloatStorage":    safetensors.F32,
	"DoubleStorage":   safetensors.F64,
}

// storageClass is the name of a class in the module torch, such as FloatStorage.
type storageClass string

// storage is an array of elements of one type, of which tensors are views.
type storage struct {
	class storageClass
	key   string
	count int64 // elements

	data []float32 // nil until read
}

func (s *storage) elementType() safetensors.Type { return storageTypes[s.class] }

func (s *storage) bytes() int64 { return s.count * s.elementType().Size() }

// unpickler decodes the pickle of a file.
type unpickler struct {
	storages map[string]*storage // by key
}

// load decodes a pickle to tensor views in the types of package gopickle.
func (u *unpickler) load(data []byte) (value any, err error) {
	length, err := pickleLength(data)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil { // the library does not check the structure of a pickle
			err = fmt.Errorf("corrupt pickle: %v", r)
		}
	}()
	p := pickle.NewUnpickler(bytes.NewReader(data[:length]))
	p.FindClass = findClass
	p.PersistentLoad = u.storage
	value, err = p.Load()
	if err != nil {
		return nil, fmt.Errorf("pickle: %w", err)
	}
	return value, nil
}

// findClass returns a replacement for each class that a state dict needs.
func findClass(module, name string) (any, error) {
	switch {
	case module == "torch._utils" && name == "_rebuild_tensor_v2":
		return rebuildTensor{}, nil
	case module == "torch" && strings.HasSuffix(name, "Storage"):
		return storageClass(name), nil
	}
	return nil, fmt.Errorf("class %s.%s is not allowed in a state dict", module, name)
}

// storage resolves a persistent ID, a tuple of "storage", class, key, location and number of
// elements.
func (u *unpickler) storage(id any) (any, error) {
	tuple, ok := id.(*types.Tuple)
	if !ok || tuple.Len() != 5 || tuple.Get(0) != "storage" {
		return nil, errors.New("persistent ID is not that of a storage")
	}
	class, classOK := tuple.Get(1).(storageClass)
	key, keyOK := tuple.Get(2).(string)
	count, countOK := tuple.Get(4).(int)
	if !classOK || !keyOK || !countOK || count < 0 {
		return nil, errors.New("persistent ID is not that of a storage")
	}
	known, exists := u.storages[key]
	if !exists {
		known = &storage{class: class, key: key, count: int64(count)}
		u.storages[key] = known
	}
	if known.class != class || known.count != int64(count) {
		return nil, fmt.Errorf("storage %q has two types or sizes", key)
	}
	return known, nil
}

// rebuildTensor replaces torch._utils._rebuild_tensor_v2, which the pickle calls for each tensor with
// its storage, offset, size, stride, and arguments that are only needed for training.
type rebuildTensor struct{}

// Call returns a *view.
func (rebuildTensor) Call(args ...any) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("tensor with %d arguments", len(args))
	}
	from, fromOK := args[0].(*storage)
	offset, offsetOK := args[1].(int)
	shape, shapeOK := integers(args[2])
	stride, strideOK := integers(args[3])
	if !fromOK || !offsetOK || !shapeOK || !strideOK || len(shape) != len(stride) {
		return nil, errors.New("tensor without storage, offset, size or stride")
	}
	return &view{storage: from, offset: int64(offset), shape: shape, stride: stride}, nil
}

func integers(value any) ([]int64, bool) {
	tuple, ok := value.(*types.Tuple)
	if !ok || tuple.Len() > maxDimensions {
		return nil, false
	}
	list := make([]int64, tuple.Len())
	for i := range list {
		n, ok := tuple.Get(i).(int)
		if !ok {
			return nil, false
		}
		list[i] = int64(n)
	}
	return list, true
}

// argument describes the bytes that follow an opcode.
type argument struct {
	bytes   int  // of fixed size
	counted bool // these bytes are the length of a string that follows
	lines   int  // strings that end in a newline
}

// opcodes are the allowed ones, which torch.save writes for state dicts with the pickle protocols 2
// to 5. Bytes objects are not among them: the library would allocate any announced length.
var opcodes = map[byte]argument{
	0x80: {bytes: 1},                // PROTO
	0x95: {bytes: 8},                // FRAME
	'(':  {},                        // MARK
	'.':  {},                        // STOP
	'N':  {},                        // NONE
	0x88: {},                        // NEWTRUE
	0x89: {},                        // NEWFALSE
	'K':  {bytes: 1},                // BININT1
	'M':  {bytes: 2},                // BININT2
	'J':  {bytes: 4},                // BININT
	0x8a: {bytes: 1, counted: true}, // LONG1
	'G':  {bytes: 8},                // BINFLOAT
	0x8c: {bytes: 1, counted: true}, // SHORT_BINUNICODE
	'X':  {bytes: 4, counted: true}, // BINUNICODE
	')':  {},                        // EMPTY_TUPLE
	't':  {},                        // TUPLE
	0x85: {},                        // TUPLE1
	0x86: {},                        // TUPLE2
	0x87: {},                        // TUPLE3
	']':  {},                        // EMPTY_LIST
	'a':  {},                        // APPEND
	'e':  {},                        // APPENDS
	'}':  {},                        // EMPTY_DICT
	's':  {},                        // SETITEM
	'u':  {},                        // SETITEMS
	'c':  {lines: 2},                // GLOBAL
	0x93: {},                        // STACK_GLOBAL
	'R':  {},                        // REDUCE
	0x81: {},                        // NEWOBJ, allowed so that the error names the class
	'b':  {},                        // BUILD
	'Q':  {},                        // BINPERSID
	'q':  {bytes: 1},                // BINPUT
	'r':  {bytes: 4},                // LONG_BINPUT
	0x94: {},                        // MEMOIZE
	'h':  {bytes: 1},                // BINGET
	'j':  {bytes: 4},                // LONG_BINGET
}

const (
	opFrame = 0x95
	opStop  = '.'
)

var errPickleEnd = fmt.Errorf("pickle is truncated or longer than %d bytes", maxPickle)

// pickleLength returns the length of the pickle at the beginning of data, after checking its opcodes
// and that every announced length is within the data: the library would allocate it.
func pickleLength(data []byte) (int, error) {
	data = data[:min(len(data), maxPickle)]
	for at := 0; at < len(data); {
		code := data[at]
		arg, known := opcodes[code]
		if !known {
			return 0, fmt.Errorf("pickle opcode 0x%02x at byte %d is not allowed in a state dict", code, at)
		}
		at++
		if code == opStop {
			return at, nil
		}
		if len(data)-at < arg.bytes {
			return 0, errPickleEnd
		}
		var fixed [8]byte
		copy(fixed[:], data[at:at+arg.bytes])
		number := binary.LittleEndian.Uint64(fixed[:])
		at += arg.bytes
		if (arg.counted || code == opFrame) && number > uint64(len(data)-at) {
			return 0, errPickleEnd
		}
		if arg.counted {
			at += int(number)
		}
		for range arg.lines {
			line := bytes.IndexByte(data[at:], '\n')
			if line < 0 {
				return 0, errPickleEnd
			}
			at += line + 1
		}
	}
	return 0, errPickleEnd
}
