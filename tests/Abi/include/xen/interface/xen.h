/* The kernel's xen/privcmd.h wants domid_t and xen_pfn_t from here. */
#include <xen/xen.h>
