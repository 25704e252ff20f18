/* Calls one kernel with operands read from a file and writes the last operand to standard output.
   The file holds, per operand: type code, bits, dimensions, sizes (int64 each), then its bytes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct { void *data; int32_t device_type, device_id, ndim; uint8_t code, bits; uint16_t lanes;
                 int64_t *shape, *strides; uint64_t byte_offset; } Tensor;
typedef struct { int32_t type; uint32_t zero; void *pointer; } Argument;

int __tvm_ffi_kernel(void *, Argument *, int32_t, Argument *);

void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
  fprintf(stderr, "%s:", kind);
  for (int32_t part = 0; part < count; ++part) fprintf(stderr, " %s", parts[part]);
}
static void *allocate(int type, int id, uint64_t size, int code, int bits) {
  (void)type; (void)id; (void)code; (void)bits;
  return aligned_alloc(64, (size + 63) / 64 * 64);
}
static int release(int type, int id, void *pointer) { (void)type; (void)id; free(pointer); return 0; }
/* Code of TVM calls its runtime through variables that loading fills. */
void *(*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int) = allocate;
int (*__TVMBackendFreeWorkspace)(int, int, void *) = release;

static int64_t number(FILE *file) {
  int64_t value;
  if (fread(&value, sizeof value, 1, file) != 1) exit(3);
  return value;
}

int main(int count, char **names) {
  FILE *file = fopen(names[1], "rb");
  int64_t operands = number(file), size = 0;
  Tensor *tensors = calloc(operands, sizeof *tensors);
  Argument *arguments = calloc(operands + 1, sizeof *arguments);
  (void)count;
  for (int64_t at = 0; at < operands; ++at) {
    Tensor *tensor = &tensors[at];
    tensor->device_type = 1;
    tensor->code = number(file);
    tensor->bits = number(file);
    tensor->lanes = 1;
    tensor->ndim = number(file);
    tensor->shape = calloc(tensor->ndim, sizeof(int64_t));
    size = tensor->bits / 8;
    for (int32_t side = 0; side < tensor->ndim; ++side) size *= tensor->shape[side] = number(file);
    tensor->data = aligned_alloc(64, (size + 63) / 64 * 64);
    if (fread(tensor->data, 1, size, file) != (size_t)size) return 3;
    arguments[at].type = 7; /* a pointer to a tensor */
    arguments[at].pointer = tensor;
  }
  int failed = __tvm_ffi_kernel(0, arguments, operands, &arguments[operands]);
  fwrite(tensors[operands - 1].data, 1, size, stdout);
  return failed ? 4 : 0;
}
