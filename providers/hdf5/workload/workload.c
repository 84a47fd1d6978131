/* Calls HDF5's functions an exactly known number of times: a prime per function, where the function allows it.
 *
 * The numbers are in workload.json. Names like H5T_NATIVE_INT are macros that call H5open, so each is used once.
 * The files are made beside the program and removed at the end. */
/* SPDX-License-Identifier: MIT */
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>

static void check(long long result, const char *call)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: failed\n", call);
	exit(1);
}

static hid_t made(hid_t identifier, const char *call)
{
	check(identifier, call);
	return identifier;
}

static void check_failure(long long result, const char *call)
{
	if (result < 0)
		return;
	fprintf(stderr, "%s: succeeded, and must fail\n", call);
	exit(1);
}

#define TIMES(number, call) \
	for (int turn = 0; turn < (number); turn++) \
	check(call, #call)

#define FAILS(number, call) \
	for (int turn = 0; turn < (number); turn++) \
	check_failure(call, #call)

/* Each object that is opened is closed. */
#define OPENS(number, open, close) \
	for (int turn = 0; turn < (number); turn++) \
	check(close(made(open, #open)), #close)

static char path[4096], missing[4096], name[64];
static int values[1024];
static hid_t type, line, point;

static const char *numbered(const char *stem, int number)
{
	snprintf(name, sizeof(name), "%s%d", stem, number);
	return name;
}

static herr_t visit_link(hid_t group, const char *link, const H5L_info_t *information, void *nothing)
{
	(void)group, (void)link, (void)information, (void)nothing;
	return 0;
}

static herr_t visit_object(hid_t object, const char *link, const H5O_info_t *information, void *nothing)
{
	(void)object, (void)link, (void)information, (void)nothing;
	return 0;
}

static void files(void)
{
	unsigned intent;
	hsize_t size;
	char text[4096];

	OPENS(2, H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
	OPENS(3, H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
	FAILS(2, H5Fopen(missing, H5F_ACC_RDONLY, H5P_DEFAULT));
	TIMES(19, H5Fis_hdf5(path));
	hid_t file = made(H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), "H5Fopen");
	OPENS(5, H5Freopen(file), H5Fclose);
	TIMES(7, H5Fflush(file, H5F_SCOPE_LOCAL));
	TIMES(11, H5Fget_name(file, text, sizeof(text)));
	TIMES(13, H5Fget_filesize(file, &size));
	TIMES(17, H5Fget_intent(file, &intent));
	TIMES(23, H5Fget_obj_count(file, H5F_OBJ_FILE));
	check(H5Fclose(file), "H5Fclose");
}

static void groups(hid_t file)
{
	H5G_info_t information;

	OPENS(29, H5Gcreate2(file, numbered("group", turn), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
	OPENS(31, H5Gopen2(file, "group7", H5P_DEFAULT), H5Gclose);
	FAILS(3, H5Gopen2(file, "absent", H5P_DEFAULT));
	hid_t group = made(H5Gopen2(file, "group3", H5P_DEFAULT), "H5Gopen2");
	TIMES(37, H5Gget_info(group, &information));
	TIMES(5, H5Gget_info_by_name(file, "group5", &information, H5P_DEFAULT));
	TIMES(2, H5Gflush(group));
	check(H5Gclose(group), "H5Gclose");
}

static void datasets(hid_t file, hid_t layout)
{
	hsize_t longer = 64, origin = 0;
	H5D_space_status_t status;
	uint32_t filters = 0;

	OPENS(13, H5Dcreate2(file, numbered("dataset", turn), type, line, H5P_DEFAULT, layout, H5P_DEFAULT), H5Dclose);
	OPENS(17, H5Dopen2(file, "dataset5", H5P_DEFAULT), H5Dclose);
	FAILS(5, H5Dopen2(file, "absent", H5P_DEFAULT));
	hid_t dataset = made(H5Dopen2(file, "dataset7", H5P_DEFAULT), "H5Dopen2");
	TIMES(41, H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
	TIMES(43, H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
	FAILS(7, H5Dread(-1, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
	TIMES(7, H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &origin, 16 * sizeof(int), values));
	TIMES(5, H5Dread_chunk(dataset, H5P_DEFAULT, &origin, &filters, values));
	TIMES(11, H5Dset_extent(dataset, &longer));
	TIMES(5, H5Dflush(dataset));
	TIMES(3, H5Dget_space_status(dataset, &status));
	for (int turn = 0; turn < 47; turn++)
		H5Dget_storage_size(dataset);
	OPENS(19, H5Dget_space(dataset), H5Sclose);
	OPENS(23, H5Dget_type(dataset), H5Tclose);
	OPENS(3, H5Dget_create_plist(dataset), H5Pclose);
	check(H5Dclose(dataset), "H5Dclose");
}

static void attributes(hid_t file)
{
	char text[64];

	OPENS(23, H5Acreate2(file, numbered("attribute", turn), type, point, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
	OPENS(29, H5Aopen(file, "attribute11", H5P_DEFAULT), H5Aclose);
	FAILS(2, H5Aopen(file, "absent", H5P_DEFAULT));
	OPENS(3, H5Aopen_by_name(file, ".", "attribute7", H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
	hid_t attribute = made(H5Aopen(file, "attribute13", H5P_DEFAULT), "H5Aopen");
	TIMES(53, H5Awrite(attribute, type, values));
	TIMES(59, H5Aread(attribute, type, values));
	TIMES(7, H5Aget_name(attribute, sizeof(text), text));
	check(H5Aclose(attribute), "H5Aclose");
	TIMES(61, H5Aexists(file, "attribute2"));
	TIMES(1, H5Arename(file, "attribute17", "renamed"));
	TIMES(3, H5Adelete(file, numbered("attribute", turn)));
}

static void links(hid_t file)
{
	H5L_info_t information;

	TIMES(7, H5Lcreate_soft("/group1", file, numbered("soft", turn), H5P_DEFAULT, H5P_DEFAULT));
	TIMES(5, H5Lcreate_hard(file, "group2", file, numbered("hard", turn), H5P_DEFAULT, H5P_DEFAULT));
	TIMES(3, H5Lcreate_external(missing, "/", file, numbered("external", turn), H5P_DEFAULT, H5P_DEFAULT));
	TIMES(67, H5Lexists(file, "soft1", H5P_DEFAULT));
	TIMES(11, H5Lget_info(file, "hard1", &information, H5P_DEFAULT));
	TIMES(1, H5Lmove(file, "soft0", file, "moved", H5P_DEFAULT, H5P_DEFAULT));
	TIMES(3, H5Lcopy(file, "soft1", file, numbered("copied", turn), H5P_DEFAULT, H5P_DEFAULT));
	TIMES(5, H5Ldelete(file, numbered("hard", turn), H5P_DEFAULT));
	TIMES(3, H5Literate(file, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, visit_link, NULL));
	TIMES(2, H5Lvisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, visit_link, NULL));
}

static void objects(hid_t file)
{
	H5O_info_t information;

	OPENS(11, H5Oopen(file, "group4", H5P_DEFAULT), H5Oclose);
	TIMES(13, H5Oexists_by_name(file, "group6", H5P_DEFAULT));
	TIMES(17, H5Oget_info2(file, &information, H5O_INFO_BASIC));
	TIMES(2, H5Ocopy(file, "dataset1", file, numbered("copy", turn), H5P_DEFAULT, H5P_DEFAULT));
	TIMES(3, H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_NATIVE, visit_object, NULL, H5O_INFO_BASIC));
}

int main(int count, char **arguments)
{
	hsize_t size = 32, limit = H5S_UNLIMITED, chunk = 16;

	(void)count;
	snprintf(path, sizeof(path), "%s.h5", arguments[0]);
	snprintf(missing, sizeof(missing), "%s.missing", arguments[0]);
	check(H5Eset_auto2(H5E_DEFAULT, NULL, NULL), "H5Eset_auto2");
	type = H5T_NATIVE_INT;
	line = made(H5Screate_simple(1, &size, &limit), "H5Screate_simple");
	point = made(H5Screate(H5S_SCALAR), "H5Screate");
	hid_t layout = made(H5Pcreate(H5P_DATASET_CREATE), "H5Pcreate");
	check(H5Pset_chunk(layout, 1, &chunk), "H5Pset_chunk");

	files();
	hid_t file = made(H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), "H5Fopen");
	groups(file);
	datasets(file, layout);
	attributes(file);
	links(file);
	objects(file);
	check(H5Fclose(file), "H5Fclose");

	check(H5Pclose(layout), "H5Pclose");
	check(H5Sclose(point), "H5Sclose");
	check(H5Sclose(line), "H5Sclose");
	remove(path);
	return 0;
}
