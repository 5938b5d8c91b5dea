package wire

import (
	"encoding/json"
	"reflect"
)

// OrNull is a member of a request that may be null, which takes away what was
// there. Put behind a pointer and tagged omitempty, it tells absent (nil) from
// null (a nil Value).
type OrNull[T any] struct{ Value *T }

// Null gives the member that is null.
func Null[T any]() *OrNull[T] { return &OrNull[T]{} }

// NotNull gives the member with a value.
func NotNull[T any](v T) *OrNull[T] { return &OrNull[T]{Value: &v} }

// MarshalJSON gives the value's JSON, or null.
func (o OrNull[T]) MarshalJSON() ([]byte, error) { return json.Marshal(o.Value) }

// inner gives the decoder the place of the value.
func (o *OrNull[T]) inner() reflect.Value { return reflect.ValueOf(&o.Value).Elem() }
