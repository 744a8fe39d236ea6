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

// maxPickle bounds a pickle in bytes, enough for some 5,000 tensors. Decoded it may
// take 300 times its size.
const maxPickle = 1 << 20

// maxDimensions is PyTorch's own limit.
const maxDimensions = 64

var storageTypes = map[storageClass]safetensors.Type{
	"HalfStorage":     safetensors.F16,
	"BFloat16Storage": safetensors.BF16,
	"FloatStorage":    safetensors.F32,
	"DoubleStorage":   safetensors.F64,
}

// storageClass is the name of a class of module torch, such as FloatStorage.
type storageClass string

// storage is a run of elements of one type that tensors are views of.
type storage struct {
	class storageClass
	key   string
	count int64 // elements

	data []float32 // nil until read
}

func (s *storage) elementType() safetensors.Type { return storageTypes[s.class] }

func (s *storage) bytes() int64 { return s.count * s.elementType().Size() }

// unpickler decodes the pickles of one file.
type unpickler struct {
	storages map[string]*storage
}

// load decodes the pickle at the beginning of data and returns its length in bytes.
func (u *unpickler) load(data []byte) (value any, length int, err error) {
	length, err = pickleLength(data)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if r := recover(); r != nil { // the library trusts a pickle's structure
			err = fmt.Errorf("corrupt pickle: %v", r)
		}
	}()
	p := pickle.NewUnpickler(bytes.NewReader(data[:length]))
	p.FindClass = findClass
	p.PersistentLoad = u.storage
	value, err = p.Load()
	if err != nil {
		return nil, 0, fmt.Errorf("pickle: %w", err)
	}
	return value, length, nil
}

func findClass(module, name string) (any, error) {
	switch {
	case module == "torch._utils" && name == "_rebuild_tensor_v2":
		return rebuildTensor{}, nil
	case module == "torch" && strings.HasSuffix(name, "Storage"):
		return storageClass(name), nil
	}
	return nil, fmt.Errorf("class %s.%s has no place in a state dict", module, name)
}

// storage resolves a persistent ID: "storage", class, key, location, element count
// and, in the legacy format, a view that PyTorch has not written since 0.4.
func (u *unpickler) storage(id any) (any, error) {
	tuple, ok := id.(*types.Tuple)
	if !ok || tuple.Len() < 5 || tuple.Get(0) != "storage" {
		return nil, errors.New("persistent ID is not that of a storage")
	}
	if tuple.Len() > 5 && tuple.Get(5) != nil {
		return nil, errors.New("storage that is a view of another cannot be read: save the file again with PyTorch 0.4 or later")
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
		return nil, fmt.Errorf("storage %q is given two types or sizes", key)
	}
	return known, nil
}

// rebuildTensor stands for the function that a pickle calls for each tensor, with
// storage, offset, size, stride and arguments that matter to training alone.
type rebuildTensor struct{}

func (rebuildTensor) Call(args ...any) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("tensor of %d arguments", len(args))
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

// argument is what follows an opcode.
type argument struct {
	bytes   int  // of fixed size
	counted bool // those bytes are a length, and so many bytes follow
	lines   int  // that end in a newline
}

// opcodes are those that torch.save writes for state dicts, at pickle protocols 2 to 5
// and from Python 2. Bytes objects are not among them: the library would expand them
// without limit.
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
	'U':  {bytes: 1, counted: true}, // SHORT_BINSTRING
	'T':  {bytes: 4, counted: true}, // BINSTRING
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
	0x81: {},                        // NEWOBJ, whose class the error then names
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

var errPickleEnd = fmt.Errorf("pickle ends early or is longer than %d bytes", maxPickle)

// pickleLength finds the end of the pickle at the beginning of data, up to which every
// announced length lies inside of the data. The library allocates what is announced.
func pickleLength(data []byte) (int, error) {
	data = data[:min(len(data), maxPickle)]
	for at := 0; at < len(data); {
		code := data[at]
		arg, known := opcodes[code]
		if !known {
			return 0, fmt.Errorf("pickle opcode 0x%02x at byte %d has no place in a state dict", code, at)
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
